"""How gateways of clusters lead requests to each other: where to, and where from."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import pytest

from builders.clusters import declared
from builders.placements import HASH, POOL, deployment, placed_status
from builders.plan_values import gateway_model, namespace_routes, peer, routed_model
from builders.pool_values import placement_of
from smallmodel_operator.api.modelplacement import ModelPlacement, PlacementResidency
from smallmodel_operator.api.names import ANNOTATION_LEAVING_SINCE, gateway_identity
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.plan.gateway.cluster import build_cluster_gateway
from smallmodel_operator.plan.gateway.cluster_values import (
    ClusterGatewaySettings,
    NamespaceRoutes,
    RoutedModel,
)
from smallmodel_operator.plan.gateway.leading import (
    Away,
    Neighbour,
    answering,
    endpoint_of,
    is_leaving,
    led_away,
    neighbours,
)
from smallmodel_operator.plan.gateway.secret_files import secret_files
from smallmodel_operator.plan.gateway.values import Endpoint, GatewayConfig, Unavailable

GATEWAYS = {"gateway": {"address": "https://munich.example.com:8443"}}
MARK = {ANNOTATION_LEAVING_SINCE: "2026-11-29T12:00:00Z"}
POOL_ENDPOINT = Endpoint(address=f"{POOL}-serve-svc.team-a.svc", port=8000)


def build(*models: RoutedModel, known: tuple[str, ...] = ()) -> GatewayConfig:
    return build_cluster_gateway(
        [namespace_routes("team-a", *models)], ClusterGatewaySettings(), known
    )


def host(config: GatewayConfig, name: str) -> dict[str, Any]:
    [table] = json.loads(config.routes.text)["resources"]
    [found] = [each for each in table["virtual_hosts"] if each["name"] == name]
    return dict(found)


def routes(config: GatewayConfig, name: str, prefix: str) -> list[dict[str, Any]]:
    trees = host(config, name)["matcher"]["matcher_tree"]["prefix_match_map"]["map"]
    return list(trees[prefix]["action"]["typed_config"]["routes"]) if prefix in trees else []


def clusters(config: GatewayConfig) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in json.loads(config.clusters.text)["resources"]}


def copy_on(cluster: str, **changes: Any) -> ModelPlacement:
    metadata = changes.pop("metadata", None)
    made = placement_of(cluster=cluster, metadata=metadata, **changes.pop("spec", {}))
    return made.model_copy(update={"status": placed_status(**{"verified_hash": HASH} | changes)})


def led(placements: Iterable[ModelPlacement], there: Mapping[str, Neighbour]) -> Away:
    return led_away(filter(None, map(answering, placements)), there)


class TestWhereTo:
    there = neighbours(
        [
            declared("local", **GATEWAYS),
            declared("munich", jurisdiction="DE", **GATEWAYS),
            declared("paris", jurisdiction="FR", gateway={"address": "https://[fd00::1]:9443"}),
            declared("silent"),
        ],
        "local",
        "hub-1",
    )

    def test_a_gateway_does_not_ask_itself(self) -> None:
        assert set(self.there) == {"munich", "paris", "silent"}

    @pytest.mark.parametrize(
        ("address", "endpoint"),
        [
            ("https://edge.example.com:8443", Endpoint(address="edge.example.com", port=8443)),
            ("https://10.0.0.7:443", Endpoint(address="10.0.0.7", port=443)),
            ("https://[fd00::1]:8443", Endpoint(address="fd00::1", port=8443)),
        ],
    )
    def test_an_address_is_a_host_and_a_port(self, address: str, endpoint: Endpoint) -> None:
        assert endpoint_of(address) == endpoint

    def test_all_copies_that_answered_are_asked_in_one_order(self) -> None:
        copies = [copy_on("paris"), copy_on("munich")]

        found = led(copies, self.there)

        assert [each.cluster for each in found.peers] == ["munich", "paris"]
        assert found.peers[0].identity == gateway_identity("munich", "hub-1")
        assert found == led(reversed(copies), self.there)

    @pytest.mark.parametrize(
        "placement",
        [
            copy_on("munich", verified_hash=None),
            copy_on("munich", deployment=None),
            copy_on("munich", metadata={"deletion_timestamp": "2026-11-29T12:00:00Z"}),
            copy_on("nowhere"),
            copy_on("munich", spec={"residency": PlacementResidency(jurisdictions=("FR",))}),
            copy_on("silent", spec={"residency": PlacementResidency(jurisdictions=("FR",))}),
        ],
    )
    def test_a_copy_that_may_not_be_asked_is_not(self, placement: ModelPlacement) -> None:
        assert led([placement], self.there) == Away()

    def test_a_law_that_allows_the_cluster_lets_requests_go_there(self) -> None:
        residency = PlacementResidency(jurisdictions=("DE",))
        copies = [copy_on(name, spec={"residency": residency}) for name in ("munich", "paris")]

        assert [each.cluster for each in led(copies, self.there).peers] == ["munich"]

    def test_a_copy_that_starts_again_is_asked_and_holds_its_requests(self) -> None:
        starts = copy_on("munich", deployment=deployment(healthy=False))

        assert [each.cluster for each in led([starts], self.there).peers] == ["munich"]

    def test_a_copy_that_is_to_go_is_asked_where_nothing_else_is(self) -> None:
        leaving, other = copy_on("munich", metadata={"annotations": MARK}), copy_on("paris")

        assert [one.cluster for one in led([leaving, other], self.there).peers] == ["paris"]
        assert [one.cluster for one in led([leaving], self.there).peers] == ["munich"]

    def test_a_cluster_without_a_gateway_is_told(self) -> None:
        found = led([copy_on("silent"), copy_on("munich")], self.there)

        assert found.unreachable == ("silent",)
        assert [each.cluster for each in found.peers] == ["munich"]

    def test_the_hub_says_first_that_a_copy_goes(self) -> None:
        assert not is_leaving(None)
        assert not is_leaving(copy_on("munich"))
        assert is_leaving(copy_on("munich", metadata={"annotations": MARK}))
        assert is_leaving(copy_on("munich", metadata={"deletion_timestamp": "2026-11-29"}))


class TestRoutesOfClients:
    def test_a_model_of_another_cluster_is_asked_by_its_path_there(self) -> None:
        config = build(RoutedModel(model=gateway_model("chat"), elsewhere=(peer("munich"),)))

        by_path, by_body = (
            one for one in routes(config, "namespaces", "/team-a/") if "route" in one
        )
        for route in (by_path, by_body):
            assert route["route"]["cluster"] == "gateways:munich"
            assert route["route"]["prefix_rewrite"] == "/team-a/chat/v1/"
            assert route["route"]["host_rewrite_literal"] == "gateways.smallmodel.dev"
            assert route["route"]["timeout"] == "0s"
            assert route["route"]["idle_timeout"] == "305s"
            added = {
                one["header"]["key"]: one["header"]["value"]
                for one in route["request_headers_to_add"]
            }
            assert added == {"x-request-timeout-seconds": "300", "x-smallmodel-cluster": "munich"}
            retry = route["route"]["retry_policy"]
            assert retry["retry_on"] == "connect-failure,refused-stream,retriable-headers"
            assert retry["retriable_headers"] == [
                {"name": "x-smallmodel-not-here", "present_match": True}
            ]

    def test_the_pool_here_is_asked_before_any_other_cluster(self) -> None:
        config = build(
            RoutedModel(
                model=gateway_model("chat"), upstream=POOL_ENDPOINT, elsewhere=(peer("munich"),)
            )
        )

        assert list(clusters(config)) == [f"{POOL}-serve-svc_team-a_svc:8000"]

    def test_each_group_of_gateways_is_one_cluster_whose_members_show_their_own_names(
        self,
    ) -> None:
        both = (peer("munich"), peer("paris"))
        config = build(
            RoutedModel(model=gateway_model("a"), elsewhere=both),
            RoutedModel(model=gateway_model("b"), elsewhere=both),
            RoutedModel(model=gateway_model("c"), elsewhere=(peer("paris"),)),
        )

        found = clusters(config)
        assert list(found) == ["gateways:munich+paris", "gateways:paris"]
        matches = found["gateways:munich+paris"]["transport_socket_matches"]
        for match in matches:
            context = match["transport_socket"]["typed_config"]
            [named] = context["common_tls_context"]["combined_validation_context"][
                "default_validation_context"
            ]["match_typed_subject_alt_names"]
            assert named["matcher"]["exact"] == gateway_identity(match["match"]["cluster"], "hub-1")
            assert context["sni"] == named["matcher"]["exact"]
        assert "outlier_detection" in found["gateways:munich+paris"]
        assert "outlier_detection" not in found["gateways:paris"]


class TestRoutesOfGateways:
    def test_nobody_may_ask_where_no_gateway_is_known(self) -> None:
        rules = host(build(routed_model("chat")), "gateways")["typed_per_filter_config"]

        assert rules["envoy.filters.http.rbac"]["rbac"]["rules"] == {
            "action": "ALLOW",
            "policies": {},
        }

    def test_known_gateways_may_ask_by_their_certificates(self) -> None:
        config = build(routed_model("chat"), known=("b.x", "a.x"))

        rules = host(config, "gateways")["typed_per_filter_config"]["envoy.filters.http.rbac"]
        policy = rules["rbac"]["rules"]["policies"]["gateways"]
        names = [one["authenticated"]["principal_name"]["exact"] for one in policy["principals"]]
        assert names == ["a.x", "b.x"]
        assert config == build(routed_model("chat"), known=("a.x", "b.x"))

    def test_only_what_is_served_here_is_answered_so_that_no_request_goes_in_circles(self) -> None:
        why = Unavailable(reason=Reason.FETCHING, message="42 %")
        config = build(
            routed_model("here"),
            RoutedModel(model=gateway_model("there"), elsewhere=(peer("munich"),)),
            RoutedModel(model=gateway_model("nowhere", unavailable=why)),
            RoutedModel(
                model=gateway_model("gone"), elsewhere=(peer("munich"),), leaving=POOL_ENDPOINT
            ),
        )

        found = routes(config, "gateways", "/team-a/")
        led = {one["match"]["prefix"]: one["route"]["cluster"] for one in found if "route" in one}
        assert led == {
            "/team-a/here/v1/": "127_0_0_1:8000",
            "/team-a/gone/v1/": f"{POOL}-serve-svc_team-a_svc:8000",
        }
        assert not any(name.startswith("gateways:") for name in led.values())
        assert found[-1]["direct_response"]["status"] == 503
        told = {one["header"]["key"] for one in found[-1]["response_headers_to_add"]}
        assert told == {"retry-after", "x-smallmodel-not-here"}
        assert f"{POOL}-serve-svc_team-a_svc:8000" in clusters(config)

    def test_a_namespace_of_which_nothing_is_served_here_has_no_routes(self) -> None:
        config = build(RoutedModel(model=gateway_model("chat"), elsewhere=(peer("munich"),)))

        assert routes(config, "gateways", "/team-a/") == []
        assert len(routes(config, "gateways", "/")) == 1


def test_the_order_of_namespaces_does_not_matter_to_other_gateways() -> None:
    def of(*namespaces: NamespaceRoutes) -> GatewayConfig:
        return build_cluster_gateway(namespaces, ClusterGatewaySettings(), ["a.x"])

    first = namespace_routes("a", RoutedModel(model=gateway_model(), elsewhere=(peer("munich"),)))
    second = namespace_routes("b", RoutedModel(model=gateway_model(), elsewhere=(peer("paris"),)))

    assert of(first, second) == of(second, first)


class TestSecretFiles:
    whole: ClassVar = {"tls.crt": b"certificate", "tls.key": b"key", "ca.crt": b"authority"}

    def test_certificate_and_key_are_one_file(self) -> None:
        files = secret_files(self.whole)

        [identity] = json.loads(files["identity.json"])["resources"]
        assert identity["name"] == "identity"
        assert identity["tls_certificate"]["certificate_chain"] == {"inline_string": "certificate"}
        assert identity["tls_certificate"]["private_key"] == {"inline_string": "key"}
        [authority] = json.loads(files["authority.json"])["resources"]
        assert authority["validation_context"]["trusted_ca"] == {"inline_string": "authority"}

    @pytest.mark.parametrize("lacks", ["tls.crt", "tls.key", "ca.crt"])
    def test_without_all_of_them_there_is_nothing(self, lacks: str) -> None:
        files = secret_files({**self.whole, lacks: b""})

        assert {json.loads(text)["resources"] == [] for text in files.values()} == {True}
