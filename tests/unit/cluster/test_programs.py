"""What runs on a node, and how it is configured."""

import json
import tomllib
from pathlib import Path

import pytest

from cluster.addresses import ClusterAddresses
from cluster.configuration import containerd, kubelet, write_configuration
from cluster.folders import ClusterFiles
from cluster.options import ClusterOptions
from cluster.programs import CONTROL_PLANE, NODE, command_lines

FILES = ClusterFiles("dev")
ADDRESSES = ClusterAddresses(2)


@pytest.mark.parametrize(
    ("number", "with_kubelet", "expected"),
    [
        (0, True, [*CONTROL_PLANE, *NODE]),
        (1, True, [*NODE]),
        (0, False, [*CONTROL_PLANE]),
    ],
)
def test_the_first_node_also_runs_the_control_plane(
    number: int, with_kubelet: bool, expected: list[str]
) -> None:
    assert list(command_lines(FILES, ADDRESSES, number, kubelet=with_kubelet)) == expected


def test_every_program_is_called_by_its_own_name() -> None:
    for name, line in command_lines(FILES, ADDRESSES, 0, kubelet=True).items():
        assert line[0] == name


def test_every_node_has_a_cgroup_of_its_own() -> None:
    roots = {kubelet(FILES.node(number), ADDRESSES, None)["cgroupRoot"] for number in range(3)}
    assert roots == {"/slm-dev-0", "/slm-dev-1", "/slm-dev-2"}


def test_containerds_configuration_is_toml_with_the_nodes_own_places() -> None:
    node = FILES.node(1)
    read = tomllib.loads(containerd(node))
    assert read["version"] == 3
    assert read["grpc"]["address"] == str(node.containerd)
    assert read["root"].startswith(str(node.root))


def test_the_files_are_where_the_programs_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cluster.folders.STATE", tmp_path)
    node = FILES.node(0)
    write_configuration(node, ADDRESSES, ClusterOptions(name="demo", proxy_mode="iptables"))
    for line in command_lines(FILES, ADDRESSES, 0, kubelet=True).values():
        for word in line:
            path = Path(word.removeprefix("--config="))
            assert not path.is_relative_to(node.configuration) or path.is_file()
    proxy = json.loads((node.configuration / "kube-proxy.yaml").read_text())
    assert proxy["mode"] == "iptables"
    network = json.loads((node.configuration / "cni/10-smallmodel.conflist").read_text())
    subnet = network["plugins"][0]["ipam"]["ranges"][0][0]["subnet"]
    assert subnet == str(ADDRESSES.node(0).pods)
