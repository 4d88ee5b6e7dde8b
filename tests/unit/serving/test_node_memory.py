"""How much memory the engines of one node have: what is set, or what the container is granted."""

from pathlib import Path

import pytest

from smallmodel_operator.api.serving import NODE_MEMORY_VARIABLE
from smallmodel_serving.runtime.application import RAY_OWN_BYTES, engine_bytes
from smallmodel_serving.runtime.cgroup import memory_limit

GIB = 1 << 30


@pytest.mark.parametrize(
    ("file", "text", "limit"),
    [
        ("memory.max", "3221225472\n", 3 * GIB),
        ("memory.max", "max\n", None),
        ("memory/memory.limit_in_bytes", "3221225472\n", 3 * GIB),
        ("memory/memory.limit_in_bytes", "9223372036854771712\n", None),
        ("elsewhere", "3221225472\n", None),
    ],
)
def test_the_containers_limit_is_read_by_either_version_of_cgroups(
    tmp_path: Path, file: str, text: str, limit: int | None
) -> None:
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)

    assert memory_limit(tmp_path) == limit


@pytest.mark.parametrize(
    ("said", "limit", "expected"),
    [
        ("1000", 3 * GIB, 1000),
        ("1000", None, 1000),
        (None, 3 * GIB, 3 * GIB - RAY_OWN_BYTES),
        ("", 3 * GIB, 3 * GIB - RAY_OWN_BYTES),
        (None, GIB // 4, 0),
        (None, None, None),
    ],
)
def test_what_is_set_counts_and_otherwise_the_limit_without_rays_part(
    said: str | None, limit: int | None, expected: int | None
) -> None:
    environment = {} if said is None else {NODE_MEMORY_VARIABLE: said}

    assert engine_bytes(environment, limit) == expected
