"""What clusters change on the machine, and what the last one puts back."""

from pathlib import Path

import pytest

from cluster import machine
from cluster.options import ClusterOptions, ClusterRecord
from cluster.parts import Parts
from cluster.problems import ClusterProblem

PARTS = Parts(path="/bin", system_images=None, kuberay=None)
PANIC = "kernel/panic"


@pytest.fixture
def sysctls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of files."""
    monkeypatch.setattr("cluster.folders.STATE", tmp_path / "clusters")
    monkeypatch.setattr(machine, "STATE", tmp_path / "clusters")
    monkeypatch.setattr(machine, "_LOCK", tmp_path / "lock")
    monkeypatch.setattr(machine, "PROC_SYS", tmp_path / "sys")
    monkeypatch.setattr(machine, "MOUNT_POINTS", (str(tmp_path / "kubelet"), str(tmp_path / "cni")))
    (tmp_path / "cni").mkdir()
    for name in machine.SYSCTLS:
        (tmp_path / "sys" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sys" / name).write_text("0\n")
    return tmp_path / "sys"


def release(name: str) -> bool:
    """Return whether it was the last."""
    calls: list[str] = []
    machine.release(name, lambda: calls.append(name))
    return calls == [name]


def claim(name: str, index: int | None = None) -> ClusterRecord:
    return machine.claim(ClusterOptions(name=name, index=index), PARTS)


@pytest.mark.usefixtures("sysctls")
def test_each_cluster_gets_the_first_block_that_is_free() -> None:
    assert [claim(name).index for name in ("one", "two", "three")] == [0, 1, 2]
    release("two")
    assert claim("four").index == 1


@pytest.mark.usefixtures("sysctls")
def test_a_cluster_that_is_there_keeps_its_block() -> None:
    assert claim("one", index=7) == claim("one")


@pytest.mark.usefixtures("sysctls")
def test_a_block_that_another_holds_is_refused_with_its_name() -> None:
    claim("one", index=7)
    with pytest.raises(ClusterProblem, match="index 7 is held by cluster one"):
        claim("two", index=7)
    assert [record.options.name for record in machine.records()] == ["one"]


def test_the_last_cluster_puts_back_what_the_first_found(sysctls: Path, tmp_path: Path) -> None:
    claim("one")
    (sysctls / PANIC).write_text("10\n")
    claim("two")
    assert not release("one")
    assert (sysctls / PANIC).read_text() == "10\n"
    assert release("two")
    assert (sysctls / PANIC).read_text() == "0"
    assert not (tmp_path / "clusters").exists()


@pytest.mark.usefixtures("sysctls")
def test_folders_that_were_made_go_and_others_stay(tmp_path: Path) -> None:
    claim("one")
    assert (tmp_path / "kubelet").is_dir()
    release("one")
    assert not (tmp_path / "kubelet").exists()
    assert (tmp_path / "cni").is_dir()


@pytest.mark.usefixtures("sysctls")
def test_a_folder_that_somebody_else_uses_meanwhile_stays(tmp_path: Path) -> None:
    claim("one")
    (tmp_path / "kubelet" / "pods").mkdir()
    release("one")
    assert (tmp_path / "kubelet" / "pods").is_dir()


@pytest.mark.usefixtures("sysctls")
def test_what_cannot_be_removed_leaves_a_cluster_that_can_be_taken_down_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim("one")
    (tmp_path / "clusters" / "one" / "nodes").mkdir()

    def busy(path: Path) -> None:
        raise OSError(39, "Directory not empty", str(path))

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", busy)
        with pytest.raises(ClusterProblem, match=r"not empty.*run it again"):
            release("one")
    assert [record.options.name for record in machine.records()] == ["one"]
    assert release("one")
