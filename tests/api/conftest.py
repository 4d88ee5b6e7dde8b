"""A real API server, and the operator's own client on it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final
from uuid import uuid4

import pytest

from cluster.access import KubeAccess
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.ref import NAMESPACES
from support.acting import acting_as
from support.loops_by_hand import PLACEMENTS

CRDS: Final = Path(__file__).parents[2] / "crds"


@pytest.fixture
async def api(control_plane: KubeAccess) -> AsyncIterator[Api]:
    """The client under test, as an administrator."""
    async with await Api.connect(control_plane.kubeconfig) as api:
        yield api


@pytest.fixture
def namespace(control_plane: KubeAccess) -> Iterator[str]:
    """A namespace of the test's own."""
    name = f"test-{uuid4().hex[:8]}"
    control_plane.kubectl("create", "namespace", name)
    yield name
    control_plane.try_kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def crds(control_plane: KubeAccess) -> None:
    """Our kinds, served."""
    control_plane.kubectl("apply", "--server-side", "--force-conflicts", "-k", str(CRDS))
    control_plane.wait_served(*(path.stem for path in CRDS.glob("*.smallmodel.dev.yaml")))


@pytest.fixture
async def placements(api: Api, crds: None) -> None:
    """The namespace of ModelPlacements, which the operator makes as it starts."""
    del crds
    metadata = {"name": PLACEMENTS}
    if await api.get(NAMESPACES.ref(PLACEMENTS)) is None:
        await api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})


@pytest.fixture
def stranger(control_plane: KubeAccess, namespace: str, tmp_path: Path) -> Path:
    """A kubeconfig of somebody with no rights at all."""
    control_plane.kubectl("-n", namespace, "create", "serviceaccount", "stranger")
    return acting_as(control_plane, namespace, "stranger", tmp_path)
