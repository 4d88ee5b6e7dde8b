"""Every cluster has addresses of its own."""

import itertools
from ipaddress import IPv4Network

import pytest

from cluster.addresses import ALL, CLUSTERS, NODES, ClusterAddresses


def networks(index: int) -> list[IPv4Network]:
    addresses = ClusterAddresses(index)
    nodes = [addresses.node(number) for number in range(NODES)]
    links = [IPv4Network((node.host, 30), strict=False) for node in nodes]
    return [addresses.services, *links, *(node.pods for node in nodes)]


def test_no_two_networks_of_any_clusters_overlap() -> None:
    found = sorted(itertools.chain.from_iterable(map(networks, range(CLUSTERS))))
    for one, following in itertools.pairwise(found):
        assert one.broadcast_address < following.network_address


@pytest.mark.parametrize("index", [0, 1, CLUSTERS - 1])
def test_all_lie_in_the_range_that_never_leaves_the_machine(index: int) -> None:
    assert all(network.subnet_of(ALL) for network in networks(index))


@pytest.mark.parametrize("index", [0, CLUSTERS - 1])
def test_the_pods_of_all_nodes_are_the_pods_of_the_cluster(index: int) -> None:
    addresses = ClusterAddresses(index)
    pods = [addresses.node(number).pods for number in range(NODES)]
    assert sum(network.num_addresses for network in pods) == addresses.pods.num_addresses
    assert all(network.subnet_of(addresses.pods) for network in pods)


def test_both_ends_of_a_link_are_hosts_of_one_network() -> None:
    node = ClusterAddresses(3).node(5)
    link = IPv4Network((node.host, node.prefix), strict=False)
    assert set(link.hosts()) == {node.host, node.node}


@pytest.mark.parametrize("index", [-1, CLUSTERS])
def test_an_index_without_room_is_refused(index: int) -> None:
    with pytest.raises(ValueError, match=f"cluster index {index}: there is room for 0 to"):
        ClusterAddresses(index)


@pytest.mark.parametrize("number", [-1, NODES])
def test_a_node_without_room_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match=f"node {number}: a cluster has room for"):
        ClusterAddresses(0).node(number)


def test_a_links_name_is_one_that_linux_takes() -> None:
    names = {
        ClusterAddresses(index).node(number).link
        for index in range(CLUSTERS)
        for number in range(NODES)
    }
    assert len(names) == CLUSTERS * NODES
    # IFNAMSIZ is 16 with the closing zero.
    assert max(map(len, names)) <= 15
