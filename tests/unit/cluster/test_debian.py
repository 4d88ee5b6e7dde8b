"""The programs that come from Debian's packages."""

from pathlib import Path

import pytest

from cluster.debian import UNPACKED, Unpacked, check_version, version_in
from cluster.problems import ClusterProblem

TOLD = {
    "containerd github.com/containerd/containerd/v2 2.1.9+unknown": (2, 1),
    "etcd Version: 3.5.30\nGit SHA: none\nGo Version: go1.26.4": (3, 5),
    "Client Version: v1.36.4\nKustomize Version: v5.8.1": (1, 36),
    "command not found": None,
}


@pytest.mark.parametrize("text", TOLD)
def test_a_version_is_found_in_what_a_program_tells(text: str) -> None:
    assert version_in(text) == TOLD[text]


@pytest.mark.parametrize(
    ("version", "accepted"),
    [("2.0.9", False), ("2.1.0", True), ("2.9.1", True), ("3.0.0", False), ("none", False)],
)
def test_a_version_that_was_not_tried_is_refused(
    tmp_path: Path, version: str, accepted: bool
) -> None:
    program = tmp_path / "containerd"
    program.write_text(f"#!/bin/sh\necho containerd {version}\n")
    program.chmod(0o755)
    entry = Unpacked(
        package="containerd", program="containerd", asks=(), oldest=(2, 1), below=(3, 0)
    )
    if accepted:
        check_version(entry, program)
    else:
        with pytest.raises(ClusterProblem, match=r"from 2\.1, below 3\.0"):
            check_version(entry, program)


def test_every_range_has_something_in_it() -> None:
    assert all(entry.oldest < entry.below for entry in UNPACKED)
