import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.plan_values import gateway_model, names, namespace_routes, routed_model
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.plan.gateway.cluster import build_cluster_gateway
from smallmodel_operator.plan.gateway.cluster_values import (
    EVERYONE,
    ClusterGatewaySettings,
    NamespaceRoutes,
    RoutedModel,
)
from smallmodel_operator.plan.gateway.config_map import gateway_config_map
from smallmodel_operator.plan.gateway.values import Endpoint, GatewayConfig, Unavailable

SETTINGS = ClusterGatewaySettings()
WHY = Unavailable(reason=Reason.FETCHING, message="42 % of its weights are there")

namespaces_of_names = st.dictionaries(names, st.sets(names, max_size=4), max_size=4)


def build(*namespaces: NamespaceRoutes, **settings: Any) -> GatewayConfig:
    return build_cluster_gateway(namespaces, ClusterGatewaySettings(**settings))


def of_names(given: dict[str, set[str]]) -> list[NamespaceRoutes]:
    return [
        namespace_routes(name, *(routed_model(model) for model in models))
        for name, models in given.items()
    ]


def virtual_host(config: GatewayConfig) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(config.routes.text)["resources"][0]["virtual_hosts"][0]
    return found


def trees(config: GatewayConfig) -> dict[str, list[dict[str, Any]]]:
    """The routes of each beginning of a path."""
    tree = virtual_host(config)["matcher"]["matcher_tree"]["prefix_match_map"]["map"]
    return {prefix: found["action"]["typed_config"]["routes"] for prefix, found in tree.items()}


def policies(config: GatewayConfig) -> dict[str, Any]:
    filters = virtual_host(config).get("typed_per_filter_config", {})
    if not filters:
        return {}
    rules = filters["envoy.filters.http.rbac"]["rbac"]["rules"]
    assert rules["action"] == "DENY"
    found: dict[str, Any] = rules["policies"]
    return found


def cluster_names(config: GatewayConfig) -> list[str]:
    return [cluster["name"] for cluster in json.loads(config.clusters.text)["resources"]]


@given(namespaces_of_names)
def test_the_same_namespaces_in_any_order_are_the_same_text(given: dict[str, set[str]]) -> None:
    there = of_names(given)
    back = [
        namespace_routes(one.name, *reversed(one.models), admitted=tuple(reversed(one.admitted)))
        for one in reversed(there)
    ]

    assert build(*there) == build(*back)


@given(namespaces_of_names, namespaces_of_names)
def test_models_change_the_version_and_never_the_bootstrap(
    before: dict[str, set[str]], after: dict[str, set[str]]
) -> None:
    old, new = build(*of_names(before)), build(*of_names(after))

    assert old.bootstrap == new.bootstrap
    assert (old.routes.version == new.routes.version) is (before == after)


@given(namespaces_of_names)
def test_every_route_of_a_namespace_lies_below_its_path_and_leads_to_its_models(
    given: dict[str, set[str]],
) -> None:
    found = trees(build(*of_names(given)))

    assert set(found) == {"/", *(f"/{name}/" for name in given)}
    for name, models in given.items():
        routes = found[f"/{name}/"]
        for route in routes:
            path = route["match"].get("path") or route["match"]["prefix"]
            assert path.startswith(f"/{name}/")
        reached = [route["route"]["prefix_rewrite"] for route in routes if "route" in route]
        assert sorted(reached) == sorted(2 * [f"/{model}/v1/" for model in models])
    assert not [route for route in found["/"] if "route" in route]


def test_a_model_leads_to_its_own_pool_and_a_pool_is_one_cluster() -> None:
    first, second = (
        Endpoint(address="b.team-a.svc", port=1),
        Endpoint(address="a.team-a.svc", port=2),
    )
    config = build(
        namespace_routes(
            "team-a",
            RoutedModel(model=gateway_model("chat"), upstream=first),
            RoutedModel(model=gateway_model("embed"), upstream=second),
            RoutedModel(model=gateway_model("more"), upstream=first),
        )
    )
    routes = [route for route in trees(config)["/team-a/"] if "route" in route]

    assert cluster_names(config) == ["a_team-a_svc:2", "b_team-a_svc:1"]
    assert {(route["route"]["prefix_rewrite"], route["route"]["cluster"]) for route in routes} == {
        ("/chat/v1/", "b_team-a_svc:1"),
        ("/embed/v1/", "a_team-a_svc:2"),
        ("/more/v1/", "b_team-a_svc:1"),
    }


def test_a_model_that_cannot_be_asked_has_neither_a_route_nor_a_cluster() -> None:
    config = build(namespace_routes("team-a", routed_model("chat", unavailable=WHY)))

    assert not [route for route in trees(config)["/team-a/"] if "route" in route]
    assert cluster_names(config) == []


def test_only_what_reached_no_model_is_tried_again_and_as_often_as_the_setting_says() -> None:
    namespace = namespace_routes("team-a", routed_model("chat"))
    for retries in (0, 7):
        routes = trees(build(namespace, connect_retries=retries))["/team-a/"]
        policies_of = [route["route"].get("retry_policy") for route in routes if "route" in route]

        assert len(policies_of) == 2
        for policy in policies_of:
            assert (policy is None) is (retries == 0)
            assert policy is None or policy["retry_on"] == "connect-failure,retriable-headers"
            assert policy is None or policy["num_retries"] == retries


def test_a_model_needs_a_pool_or_a_reason() -> None:
    with pytest.raises(ValueError, match="'chat' has neither an upstream nor a reason"):
        RoutedModel(model=gateway_model("chat"))


@pytest.mark.parametrize(
    ("namespaces", "message"),
    [
        ((namespace_routes("a"), namespace_routes("a")), "a namespace .* more than once: a;"),
        (
            (namespace_routes("a", routed_model("x"), routed_model("x")),),
            "a model of a .* more than once: x;",
        ),
        (
            (namespace_routes("a", admitted=("10.0.0.300",)),),
            "'10.0.0.300' is neither an address nor a network",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(
    namespaces: tuple[NamespaceRoutes, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        build(*namespaces)


class TestAdmission:
    def test_everyone_needs_no_rule(self) -> None:
        assert policies(build(namespace_routes("team-a", admitted=EVERYONE))) == {}

    def test_each_guarded_namespace_has_a_rule_of_its_own(self) -> None:
        config = build(
            namespace_routes("open"),
            namespace_routes("team-a", admitted=("10.0.0.3", "10.0.0.2", "fd00::1")),
            namespace_routes("team-b", admitted=("10.1.0.0/16",)),
            admit_loopback=False,
        )

        assert policies(config) == {
            "team-a": rule("/team-a/", ("10.0.0.2", 31), ("fd00::1", 128)),
            "team-b": rule("/team-b/", ("10.1.0.0", 16)),
        }

    def test_loopback_is_added_where_it_is_admitted(self) -> None:
        config = build(namespace_routes("team-a", admitted=()))

        assert policies(config) == {"team-a": rule("/team-a/", ("127.0.0.0", 8), ("::1", 128))}

    def test_no_address_at_all_is_nobody(self) -> None:
        config = build(namespace_routes("team-a", admitted=()), admit_loopback=False)

        assert policies(config)["team-a"]["principals"] == [{"any": True}]

    def test_addresses_that_come_and_go_leave_the_clusters_as_they_are(self) -> None:
        before = build(namespace_routes("team-a", routed_model(), admitted=("10.0.0.1",)))
        after = build(namespace_routes("team-a", routed_model(), admitted=("10.0.0.9",)))

        assert before.clusters == after.clusters
        assert before.routes != after.routes


def test_only_the_address_of_both_families_takes_both() -> None:
    v4, v6 = build().bootstrap, build(listen=Endpoint(address="::", port=8080)).bootstrap

    assert "ipv4_compat" not in v4
    assert v6.count("ipv4_compat: true") == 1


def test_a_thousand_models_in_fifty_namespaces_are_soon_built_and_fit() -> None:
    namespaces = [
        namespace_routes(
            f"team-{number:02}",
            *(
                RoutedModel(
                    model=gateway_model(f"a-model-with-a-long-name-{model:02}"),
                    upstream=Endpoint(
                        address=f"pool-{number}-serve-svc.team-{number}.svc", port=8000
                    ),
                )
                for model in range(20)
            ),
            # Every other address, so that no two of them make one network.
            admitted=tuple(f"10.{number}.0.{last}" for last in range(0, 200, 2)),
        )
        for number in range(50)
    ]
    # It takes half a second of a processor that does nothing else. Ten times as much, on a busy
    # one, still tells apart what grows with the square of the models.
    began = time.process_time()
    config = build(*namespaces)
    took = time.process_time() - began
    size = len(json.dumps(gateway_config_map(config, "smallmodel-system")))

    assert took < 5
    assert size < 2**18


def rule(path: str, *admitted: tuple[str, int]) -> dict[str, Any]:
    ids = [
        {"direct_remote_ip": {"address_prefix": address, "prefix_len": length}}
        for address, length in admitted
    ]
    return {
        "permissions": [{"url_path": {"path": {"prefix": path}}}],
        "principals": [{"not_id": {"or_ids": {"ids": ids}}}],
    }
