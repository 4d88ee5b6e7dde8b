"""Resources, references, and the paths that they stand for."""

import pytest

from builders.kube_objects import CONFIG_MAP_PATH, config_map
from smallmodel_operator.clusters.ref import (
    CONFIGMAPS,
    NODES,
    RAYSERVICES,
    RESOURCES,
    SMALLMODELS,
    ref_of,
    resource_of,
)


def test_a_kind_of_the_core_group_lies_under_api() -> None:
    assert CONFIGMAPS.ref("settings", "team").path == CONFIG_MAP_PATH
    assert CONFIGMAPS.path() == "/api/v1/configmaps"
    assert CONFIGMAPS.full_name == "configmaps"


def test_a_kind_of_another_group_lies_under_apis() -> None:
    path = RAYSERVICES.ref("cpu-1", "team").path
    assert path == "/apis/ray.io/v1/namespaces/team/rayservices/cpu-1"
    assert RAYSERVICES.full_name == "rayservices.ray.io"
    assert SMALLMODELS.api_version == "smallmodel.dev/v1alpha1"


def test_a_name_cannot_lead_out_of_its_path() -> None:
    assert NODES.ref("../pods?x=1").path == "/api/v1/nodes/..%2Fpods%3Fx%3D1"


def test_a_namespaced_kind_needs_a_namespace() -> None:
    with pytest.raises(ValueError, match="ConfigMap settings needs a namespace"):
        CONFIGMAPS.ref("settings")


def test_another_kind_has_no_namespace() -> None:
    with pytest.raises(ValueError, match="Node one has no namespace"):
        NODES.ref("one", "team")


def test_a_manifest_gives_its_reference() -> None:
    assert ref_of(config_map()) == CONFIGMAPS.ref("settings", "team")
    assert str(ref_of(config_map())) == "ConfigMap team/settings"
    assert str(NODES.ref("one")) == "Node one"


def test_a_kind_that_the_operator_does_not_use_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'Pod' of 'v2' is no kind"):
        resource_of({"apiVersion": "v2", "kind": "Pod"})


def test_a_manifest_without_a_name_is_refused() -> None:
    with pytest.raises(ValueError, match=r"without metadata\.name"):
        ref_of({"apiVersion": "v1", "kind": "Node", "metadata": {}})


def test_no_two_resources_are_the_same_kind() -> None:
    assert len({(one.api_version, one.kind) for one in RESOURCES}) == len(RESOURCES)
