"""Memory of containers, as both versions of cgroups have it."""

from pathlib import Path

from bench.cluster.memory import Memory, read_cgroup

EXPECTED = Memory(usage=1000, working_set=700, anonymous=400, most=1200)


def written(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return folder


def test_version_1(tmp_path: Path) -> None:
    stat = "rss 1\ninactive_file 2\ntotal_rss 400\ntotal_inactive_file 300\n"
    folder = written(
        tmp_path,
        memory__usage_in_bytes="1000\n",
        memory__max_usage_in_bytes="1200\n",
        memory__stat=stat,
    )
    assert read_cgroup(folder) == EXPECTED


def test_version_2(tmp_path: Path) -> None:
    folder = written(
        tmp_path,
        memory__current="1000\n",
        memory__peak="1200\n",
        memory__stat="anon 400\nfile 600\ninactive_file 300\n",
    )
    assert read_cgroup(folder) == EXPECTED
