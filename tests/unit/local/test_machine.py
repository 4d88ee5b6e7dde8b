"""What this machine has is bounded by what this process may use of it."""

from pathlib import Path

import pytest

from smallmodel_operator.api.smallmodel import Engine
from smallmodel_operator.local import machine
from smallmodel_operator.local.machine import (
    LEAST_MEMORY,
    STACK_MEMORY,
    accelerators,
    cpu_quotas,
    memory_for_models,
    memory_limits,
    observe_machine,
    own_cgroups,
)

GIB = 2**30


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_this_machine_has_cores_memory_and_the_engine_of_the_tests() -> None:
    seen = observe_machine()
    assert seen.cpu_cores >= 1
    assert seen.memory_bytes >= LEAST_MEMORY
    assert Engine.LLAMA_CPP in seen.engines


def test_given_memory_and_cores_replace_what_is_seen() -> None:
    seen = observe_machine("4Gi", 3)
    assert (seen.memory_bytes, seen.cpu_cores) == (4 * GIB, 3)


def test_memory_that_is_no_quantity_is_refused() -> None:
    with pytest.raises(ValueError, match="'lots' is not a quantity"):
        observe_machine("lots")


@pytest.mark.parametrize(
    ("usable", "left"),
    [
        pytest.param(8 * GIB, 8 * GIB - STACK_MEMORY, id="the stack's own need is taken off"),
        pytest.param(GIB, LEAST_MEMORY, id="something is always left to try with"),
    ],
)
def test_models_get_what_the_stack_leaves(usable: int, left: int) -> None:
    assert memory_for_models(usable) == left


def test_every_enclosing_control_group_of_version_2_binds(tmp_path: Path) -> None:
    write(tmp_path / "a/memory.max", "1073741824\n")
    write(tmp_path / "a/b/memory.max", "max\n")
    write(tmp_path / "a/cpu.max", "150000 100000\n")
    write(tmp_path / "a/b/cpu.max", "max 100000\n")
    groups = own_cgroups(tmp_path, "0::/a/b\n")
    assert groups == (tmp_path / "a/b", tmp_path / "a", tmp_path)
    assert memory_limits(groups) == [GIB]
    assert cpu_quotas(groups) == [1.5]


def test_control_groups_of_version_1_are_read_too(tmp_path: Path) -> None:
    write(tmp_path / "memory/x/memory.limit_in_bytes", "2147483648\n")
    write(tmp_path / "cpu/x/cpu.cfs_quota_us", "50000\n")
    write(tmp_path / "cpu/x/cpu.cfs_period_us", "100000\n")
    groups = own_cgroups(tmp_path, "5:cpu,cpuacct:/x\n4:memory:/x\n1:name=systemd:/x\n")
    assert memory_limits(groups) == [2 * GIB]
    assert cpu_quotas(groups) == [0.5]


def test_a_quota_that_is_off_in_version_1_does_not_bind(tmp_path: Path) -> None:
    write(tmp_path / "cpu/cpu.cfs_quota_us", "-1\n")
    write(tmp_path / "cpu/cpu.cfs_period_us", "100000\n")
    assert cpu_quotas(own_cgroups(tmp_path, "5:cpu:/\n")) == []


def test_inside_a_container_a_path_from_outside_means_the_root(tmp_path: Path) -> None:
    write(tmp_path / "memory.max", "1073741824\n")
    groups = own_cgroups(tmp_path, "0::/system.slice/docker-abc.scope\n")
    assert memory_limits(groups) == [GIB]


def test_a_quota_below_one_core_still_gives_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "cpu_quotas", lambda _groups: [0.25])
    assert machine.usable_cores() == 1


def test_devices_are_counted_by_product_as_kubernetes_labels_them() -> None:
    stocks = accelerators("NVIDIA L4, 23034\nNVIDIA L4, 23034\nNVIDIA GB10, [N/A]\n")
    [stock] = stocks
    assert (stock.product, stock.count) == ("NVIDIA-L4", 2)
    assert stock.memory_bytes == 23034 * 2**20


def test_a_machine_without_the_vendors_tool_has_no_devices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    assert machine.observe_accelerators() == ()


def test_a_tool_that_fails_is_no_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\nexit 9\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine.observe_accelerators() == ()


def test_a_tool_that_answers_gives_its_devices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text("#!/bin/sh\necho 'NVIDIA L4, 23034'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert [stock.product for stock in machine.observe_accelerators()] == ["NVIDIA-L4"]
