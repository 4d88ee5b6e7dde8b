"""Three real clusters joined by lines, with the operator on the first of them."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cluster import hybrid as three
from cluster import machine
from support.clusters import LOGS
from support.hybrid import Hybrid, HybridTeam, joined


@pytest.fixture(scope="session")
def hybrid(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Hybrid]:
    """The hub in the cloud, and the two others joined to it; `--hybrid` names those to use."""
    in_ci = bool(os.environ.get("CI"))
    if problem := machine.unsupported():
        (pytest.fail if in_ci else pytest.skip)(problem)
    prefix: str | None = request.config.getoption("--hybrid")
    volumes: Path = tmp_path_factory.mktemp("volumes")
    with ExitStack() as held:
        if prefix is None:
            clusters, wan = held.enter_context(three.lent("h", LOGS if in_ci else None))
        else:
            clusters = three.find(prefix)
            three.import_images(clusters)
            wan = three.lines(prefix, clusters)
            wan.join()
        yield held.enter_context(joined(clusters, wan, volumes))


@pytest.fixture
def team(hybrid: Hybrid) -> Iterator[HybridTeam]:
    """A namespace of the test's own, in all clusters."""
    made = hybrid.new_team()
    yield made
    hybrid.remove_team(made)
