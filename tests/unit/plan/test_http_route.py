from builders.plan_values import gateway_model, routed_model
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.plan.gateway.cluster_values import RoutedModel
from smallmodel_operator.plan.gateway.http_route import (
    ParentGateway,
    ServiceModel,
    build_http_routes,
    models_in,
    service_models,
)
from smallmodel_operator.plan.gateway.values import Endpoint, Unavailable

PARENT = ParentGateway(name="public", namespace="gateways")
WHY = Unavailable(reason=Reason.FETCHING, message="42 % of its weights are there")


def model(name: str) -> ServiceModel:
    return ServiceModel(name=name, service="pool-serve-svc", port=8000)


def test_the_service_is_the_first_part_of_the_upstreams_name() -> None:
    pool = Endpoint(address="pool-serve-svc.team-a.svc", port=8000)
    models = (
        RoutedModel(model=gateway_model("chat"), upstream=pool),
        RoutedModel(model=gateway_model("soon", unavailable=WHY)),
        routed_model("out", unavailable=WHY),
    )

    assert service_models(models) == (model("chat"),)


def test_each_model_has_a_rule_that_takes_the_namespace_off_its_path() -> None:
    [route] = build_http_routes("team-a", [model("embed"), model("chat")], PARENT, "hub-1")

    assert route["metadata"]["namespace"] == "team-a"
    assert route["spec"]["parentRefs"] == [{"name": "public", "namespace": "gateways"}]
    rules = route["spec"]["rules"]
    assert [rule["matches"][0]["path"]["value"] for rule in rules] == [
        "/team-a/chat/v1",
        "/team-a/embed/v1",
    ]
    assert [rule["filters"][0]["urlRewrite"]["path"]["replacePrefixMatch"] for rule in rules] == [
        "/chat/v1",
        "/embed/v1",
    ]


def test_one_route_has_sixteen_rules_at_most() -> None:
    models = [model(f"m{number:02}") for number in range(33)]
    routes = build_http_routes("team-a", models, PARENT, "hub-1")

    assert [len(route["spec"]["rules"]) for route in routes] == [16, 16, 1]
    assert len({route["metadata"]["name"] for route in routes}) == 3


def test_a_listener_can_be_chosen_and_no_model_is_no_route() -> None:
    parent = ParentGateway(name="public", namespace="gateways", section="https")
    [route] = build_http_routes("team-a", [model("chat")], parent, "hub-1")

    assert route["spec"]["parentRefs"][0]["sectionName"] == "https"
    assert build_http_routes("team-a", [], parent, "hub-1") == ()


def test_hosts_are_named_where_they_are_given() -> None:
    parent = ParentGateway(name="public", namespace="gateways", hostnames=("models.example.com",))
    [route] = build_http_routes("team-a", [model("chat")], parent, "hub-1")

    assert route["spec"]["hostnames"] == ["models.example.com"]


def test_what_routes_lead_to_can_be_read_from_them() -> None:
    names = [f"m{number:02}" for number in range(20)]
    routes = build_http_routes("team-a", [model(name) for name in names], PARENT, "hub-1")

    assert models_in(routes) == {("team-a", name) for name in names}


def test_rules_that_are_not_ours_lead_to_no_model() -> None:
    [route] = build_http_routes("team-a", [model("chat")], PARENT, "hub-1")
    edited = [
        {},
        {"matches": [{}]},
        {"matches": [{"path": {"value": "/"}}]},
        {"matches": [{"path": {"value": "/team-b/chat/v1"}}]},
    ]

    assert models_in([{**route, "spec": {"rules": edited}}, {**route, "spec": None}]) == set()
