"""Derived names stay within a limit and apart from each other."""

import re

from smallmodel_operator.api import patterns
from smallmodel_operator.api.names import (
    INDEX_APPLICATION,
    SMALLMODEL_NAME_MAX,
    cluster_of_namespace,
    placement_namespace,
    short_hash,
)


def test_a_hash_is_as_long_as_asked_and_always_the_same() -> None:
    assert short_hash("chat", 5) == short_hash("chat")[:5]
    assert len(short_hash("chat")) == 8


def test_a_namespace_of_placements_tells_its_cluster() -> None:
    assert cluster_of_namespace(placement_namespace("edge")) == "edge"
    assert cluster_of_namespace("team") is None


def test_no_model_can_be_called_like_the_index_application() -> None:
    assert not re.match(patterns.NAME, INDEX_APPLICATION)


def test_a_ray_service_name_has_room_for_our_name_and_a_hash() -> None:
    """KubeRay allows 47 characters; `-` and five hexadecimal digits are appended."""
    assert SMALLMODEL_NAME_MAX + len("-") + 5 <= 47
