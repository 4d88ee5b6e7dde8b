"""The operator installed once for all end-to-end tests, and a namespace for each."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.access import KubeAccess
from support.installation import Installed, Team, installed


@pytest.fixture(scope="session")
def operator(
    cluster: KubeAccess, node_folder: Path, operator_image: str, serving_image: str
) -> Iterator[Installed]:
    """The chart, installed with the images of this checkout."""
    with installed(cluster, node_folder, operator_image, serving_image) as made:
        yield made


@pytest.fixture
def team(operator: Installed) -> Iterator[Team]:
    """A namespace of the test's own."""
    made = operator.new_team()
    yield made
    operator.remove_team(made)
