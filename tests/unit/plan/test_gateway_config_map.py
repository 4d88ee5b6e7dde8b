import base64
import gzip
import random
from typing import Any

import pytest

from builders.plan_values import namespace_routes, routed_model
from smallmodel_operator.plan.gateway.cluster import build_cluster_gateway
from smallmodel_operator.plan.gateway.cluster_values import ClusterGatewaySettings
from smallmodel_operator.plan.gateway.config_map import (
    InvalidSnapshot,
    SnapshotTooLarge,
    contract_of,
    entries_of,
    gateway_config_map,
    gateway_restart,
    read_snapshot,
    snapshot_version,
)
from smallmodel_operator.plan.gateway.values import DiscoveryFile, GatewayConfig


def config(*models: str, **settings: Any) -> GatewayConfig:
    namespace = namespace_routes("team-a", *map(routed_model, models))
    return build_cluster_gateway([namespace], ClusterGatewaySettings(**settings))


def entries(given: GatewayConfig) -> dict[str, bytes]:
    return entries_of(gateway_config_map(given, "smallmodel-system"))


def test_what_is_written_is_read_again() -> None:
    assert read_snapshot(entries(config("chat"))) == config("chat")


def test_the_same_files_are_the_same_config_map() -> None:
    made = [gateway_config_map(config("chat"), "smallmodel-system") for _ in range(2)]

    assert made[0] == made[1]
    assert made[0]["metadata"]["name"] == "smallmodel-gateway"
    assert set(made[0]["data"]) == {"bootstrap.yaml", "version"}
    assert set(made[0]["binaryData"]) == {"clusters.json.gz", "routes.json.gz"}


def test_the_version_changes_with_each_of_the_files() -> None:
    versions = {
        snapshot_version(one)
        for one in (config("chat"), config("embed"), config(), config("chat", body_limit=1))
    }

    assert len(versions) == 4


def test_a_mounted_config_map_has_the_same_entries() -> None:
    given = gateway_config_map(config("chat"), "smallmodel-system")

    assert entries_of(given)["version"].decode() == given["data"]["version"]
    assert entries_of({"metadata": {}, "data": None}) == {}


def test_only_another_bootstrap_restarts_the_pods() -> None:
    first, second, third = (
        gateway_restart(one, "smallmodel-system")
        for one in (config("chat"), config("embed"), config("chat", body_limit=1))
    )

    assert first == second != third
    assert first["kind"] == "Deployment"


def test_what_is_too_large_is_refused_with_its_size() -> None:
    # What chance made cannot be compressed.
    noise = base64.b64encode(random.Random(1).randbytes(2**21)).decode()  # noqa: S311 - a size is wanted
    large = GatewayConfig(
        bootstrap="",
        routes=DiscoveryFile(text=noise, version="1"),
        clusters=DiscoveryFile(text="", version="1"),
    )

    with pytest.raises(SnapshotTooLarge, match="bytes compressed, and a ConfigMap takes 1048576"):
        gateway_config_map(large, "smallmodel-system")


GOOD = entries(config("chat"))
SPOILED: dict[str, tuple[dict[str, bytes], str]] = {
    "nothing": ({}, "bootstrap.yaml is missing; present: none"),
    "no routes": (
        {name: content for name, content in GOOD.items() if name != "routes.json.gz"},
        "routes.json.gz is missing; present: bootstrap.yaml, clusters.json.gz, version",
    ),
    "no version": (
        {name: content for name, content in GOOD.items() if name != "version"},
        "version is missing",
    ),
    "cut": (GOOD | {"routes.json.gz": GOOD["routes.json.gz"][:-9]}, "routes.json.gz cannot be"),
    "not compressed": (GOOD | {"routes.json.gz": b"{}"}, "routes.json.gz cannot be read"),
    "not JSON": (GOOD | {"routes.json.gz": gzip.compress(b"{")}, "routes.json is not JSON"),
    "another JSON": (GOOD | {"clusters.json.gz": gzip.compress(b"[]")}, "has no resources"),
    "no routes inside": (
        GOOD | {"routes.json.gz": gzip.compress(b'{"resources":[],"version_info":"1"}')},
        "routes.json has no resources",
    ),
    "of two versions": (
        GOOD | {"routes.json.gz": entries(config("embed"))["routes.json.gz"]},
        "edited by hand or belong to two versions",
    ),
    "no YAML": (GOOD | {"bootstrap.yaml": b"{"}, "bootstrap.yaml is not YAML"),
    "a foreign bootstrap": (GOOD | {"bootstrap.yaml": b"{}"}, "no node.metadata.contract"),
    "another encoding": (GOOD | {"version": b"\xff"}, "version is not UTF-8"),
}


@pytest.mark.parametrize("case", SPOILED)
def test_what_is_cut_or_foreign_is_refused(case: str) -> None:
    given, message = SPOILED[case]

    with pytest.raises(InvalidSnapshot, match=message):
        read_snapshot(given)


def test_binary_data_that_is_no_base64_is_refused() -> None:
    with pytest.raises(InvalidSnapshot, match="not base64"):
        entries_of({"binaryData": {"routes.json.gz": "no base64!"}})


def test_the_contract_is_read_from_the_bootstrap() -> None:
    assert contract_of(config().bootstrap) == 2
