"""The operator's settings: what the environment says, and what is told where it is wrong."""

import json
from pathlib import Path
from typing import Final

import pytest
from pydantic import ValidationError

from builders.cluster_profiles import provider
from smallmodel_operator.placement.choice.tables import SHIPPED, in_currency
from smallmodel_operator.placement.choice.wish import USUAL
from smallmodel_operator.plan.gateway.http_route import ParentGateway
from smallmodel_operator.plan.pools.values import (
    FaultTolerance,
    PoolSettings,
    Toleration,
    UpgradePolicy,
    VolumeKind,
)
from smallmodel_operator.settings import Settings, SettingsError

REQUIRED: Final = {
    "SMALLMODEL_NAMESPACE": "smallmodel-system",
    "SMALLMODEL_SERVING_CPU_IMAGE": "registry.internal/serving-cpu:1",
}


def read(**variables: str) -> Settings:
    given = {f"SMALLMODEL_{name}": value for name, value in variables.items()}
    return Settings.from_environment(REQUIRED | given)


def refused(**variables: str) -> str:
    with pytest.raises(SettingsError) as caught:
        read(**variables)
    return str(caught.value)


def test_two_variables_are_enough() -> None:
    settings = read()
    assert settings.gateway_base_url == "http://smallmodel-gateway.smallmodel-system.svc"
    assert settings.pools("hub") == PoolSettings(
        hub_id="hub",
        operator_namespace="smallmodel-system",
        cpu_image="registry.internal/serving-cpu:1",
    )


ROUTE: Final = '{"name": "public", "namespace": "gateways", "hostnames": [], "podNamespaces": []}'


def test_models_of_a_gateway_of_somebodys_own_have_a_path_each() -> None:
    settings = read(HTTP_ROUTE=ROUTE, GATEWAY_URL="https://models.example.com/")

    assert settings.http_route is not None
    assert settings.http_route.parent() == ParentGateway(name="public", namespace="gateways")
    assert settings.model_url("team", "chat") == "https://models.example.com/team/chat/v1"
    assert settings.pools("hub").gateway_namespaces == ("gateways",)
    assert (
        read().model_url("team", "chat")
        == "http://smallmodel-gateway.smallmodel-system.svc/team/v1"
    )


def test_credential_plugins_are_as_the_administrator_lists_them() -> None:
    exec_config = '{"apiVersion": "client.authentication.k8s.io/v1", "command": "/plugins/gke"}'
    listed = f'[{{"name": "gke", "execConfig": {exec_config}}}]'
    assert read(CREDENTIAL_PROVIDERS=listed).credential_providers == (provider(),)
    assert read().credential_providers == ()
    told = refused(CREDENTIAL_PROVIDERS=listed.replace("/plugins/gke", "gke"))
    assert "SMALLMODEL_CREDENTIAL_PROVIDERS=" in told
    assert " at 0.execConfig.command: " in told
    assert "'gke' is not a whole path" in told


def test_its_pods_may_be_elsewhere() -> None:
    route = ROUTE.replace('"podNamespaces": []', '"podNamespaces": ["envoys"]')
    settings = read(HTTP_ROUTE=route, GATEWAY_URL="https://models.example.com")
    assert settings.pools("hub").gateway_namespaces == ("envoys",)


def test_its_address_has_to_be_told() -> None:
    assert "set SMALLMODEL_GATEWAY_URL" in refused(HTTP_ROUTE=ROUTE)
    assert "SMALLMODEL_HTTP_ROUTE" in refused(
        HTTP_ROUTE='{"name": "public"}', GATEWAY_URL="http://x"
    )


def test_each_missing_variable_is_named_with_its_meaning() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_environment({})
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("SMALLMODEL_NAMESPACE is not set: The operator's own namespace")
    assert lines[1].startswith("SMALLMODEL_SERVING_CPU_IMAGE is not set")


def test_an_empty_variable_counts_as_unset() -> None:
    assert read(SERVING_GPU_IMAGE="", FETCH_ENV="", WORKERS_MAX="", GATEWAY_URL="") == read()


def test_variables_of_others_are_passed_over() -> None:
    assert read(GATEWAY_PORT_80_TCP="tcp://10.0.0.1:80", NODE_DIR="/ledger") == read()


@pytest.mark.parametrize(
    ("text", "namespaces"),
    [("", ()), ("a", ("a",)), ("a,b", ("a", "b")), (" a , b ,", ("a", "b"))],
)
def test_lists_are_separated_by_commas(text: str, namespaces: tuple[str, ...]) -> None:
    assert read(WATCH_NAMESPACES=text).watch_namespaces == namespaces


def test_the_gateway_may_admit_everyone() -> None:
    assert read(GATEWAY_ALLOW_FROM="*,team-a").gateway_allow_from == ("*", "team-a")


def test_what_is_told_about_pools_reaches_the_plan() -> None:
    settings = read(
        SERVING_GPU_IMAGE="gpu:1",
        IMAGE_PULL_SECRETS="one,two",
        FETCH_ENV='{"PIP_INDEX_URL": "https://pypi.internal/simple", "HF_ENDPOINT": "https://h"}',
        WEIGHTS_VOLUME='{"storageClassName": "", "size": "9Gi", "accessMode": "ReadWriteMany"}',
        POOL_MODELS_MAX="7",
        POOL_SURGE_MAX="0",
        POOL_UPGRADE_POLICY="Recreate",
        POOL_TOLERATIONS='[{"key": "dedicated", "operator": "Equal", "value": "models"}]',
        REQUEST_TIMEOUT="1h30m",
        KUBERAY_NAMESPACE="ray-system",
        METRICS_NAMESPACES="monitoring",
        ACCELERATOR_RESOURCE="amd.com/gpu",
        ACCELERATOR_PRODUCT_LABEL="amd.com/gpu.product",
        ACCELERATOR_TOLERATIONS="[]",
        FAULT_TOLERANCE="Redis",
        REDIS_ADDRESS="redis:6379",
        REDIS_SECRET="redis",
    )
    pools = settings.pools("hub")
    assert pools.gpu_image == "gpu:1"
    assert pools.image_pull_secrets == ("one", "two")
    assert pools.fetch_environment == (
        ("HF_ENDPOINT", "https://h"),
        ("PIP_INDEX_URL", "https://pypi.internal/simple"),
    )
    # An empty class asks for a volume that nobody provisions; it is not the default class.
    assert (pools.weights.storage_class, pools.weights.size) == ("", "9Gi")
    assert (pools.weights.access_mode, pools.weights.create) == ("ReadWriteMany", True)
    assert (pools.models_per_pool, pools.max_surge_pools) == (7, 0)
    assert pools.upgrade_policy is UpgradePolicy.RECREATE
    assert pools.tolerations == (Toleration(key="dedicated", operator="Equal", value="models"),)
    assert pools.request_timeout_seconds == 5400
    assert (pools.kuberay_namespace, pools.metrics_namespaces) == ("ray-system", ("monitoring",))
    assert pools.accelerators.resource == "amd.com/gpu"
    assert pools.accelerators.product_label == "amd.com/gpu.product"
    assert pools.accelerators.tolerations == ()
    assert pools.fault_tolerance == FaultTolerance(redis_address="redis:6379", redis_secret="redis")


def test_clusters_are_weighed_as_the_shipped_tables_say() -> None:
    placement = read().placement
    assert (placement.policy(), placement.price_tables()) == (USUAL, in_currency(SHIPPED, 1.0))


def test_another_currency_has_everything_of_the_tables_converted() -> None:
    placement = read(PLACEMENT='{"currency": "EUR", "usdRate": "0.5"}').placement
    policy, tables = placement.policy(), placement.price_tables()
    assert (policy.currency, policy.carbon_price_ton) == ("EUR", 95.0)
    assert (policy.least_gain_hour, policy.disruption) == (0.025, 0.05)
    assert tables == in_currency(SHIPPED, 0.5)
    assert tables.cpu_hour == SHIPPED.cpu_hour / 2
    assert tables.egress["aws"][0].internet == SHIPPED.egress["aws"][0].internet / 2


def test_how_calm_placing_is_can_be_said() -> None:
    policy = read(PLACEMENT='{"minimumStay": "90s", "movesPerMinute": 3}').placement.policy()
    assert (policy.dwell_seconds, policy.moves_per_minute) == (90.0, 3)


def test_each_number_of_the_tables_can_be_ones_own() -> None:
    own = {
        "cpuHour": "1",
        "memoryGBHour": "2",
        "acceleratorHour": "3",
        "accelerators": {"NVIDIA-L4": "4"},
        "egressPerGB": "5",
        "gridIntensity": {"DE": 6},
    }
    told = {"currency": "CHF", "usdRate": "0.8", "carbonPricePerTon": "0", "tables": own}
    placement = read(PLACEMENT=json.dumps(told)).placement
    tables = placement.price_tables()
    assert placement.policy().carbon_price_ton == 0
    assert (tables.cpu_hour, tables.memory_gb_hour, tables.any_accelerator_hour) == (1, 2, 3)
    assert (tables.accelerator_hour, tables.any_egress_gb) == ({"NVIDIA-L4": 4.0}, 5)
    assert (tables.grid["DE"], tables.grid["FR"]) == (6, SHIPPED.grid["FR"])


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ('{"currency": "EUR"}', "set usdRate to what one USD is in it"),
        ('{"currency": "EUR", "usdRate": "0"}', "set usdRate to what one USD is in it"),
        ('{"currency": "euro"}', "a currency's three letters"),
        ('{"minimumStay": "soon"}', "at minimumStay"),
        ('{"movesPerMinute": 0}', "at movesPerMinute"),
        ('{"tables": {"cpuHour": "-1"}}', "an amount of the installation's one currency"),
        ('{"tables": {"gridIntensity": {"EU": 1}}}', "is a group, and a cluster is in one country"),
    ],
)
def test_how_clusters_are_weighed_may_not_be(told: str, said: str) -> None:
    assert said in refused(PLACEMENT=told)


def test_a_claim_that_exists_is_not_made() -> None:
    volume = read(WEIGHTS_VOLUME='{"existingClaim": "models"}').pools("hub").weights
    assert (volume.claim, volume.create) == ("models", False)


def test_a_pools_own_volume_needs_no_claim() -> None:
    volume = read(WEIGHTS_VOLUME='{"kind": "Pool", "size": "9Gi"}').pools("hub").weights
    assert (volume.kind, volume.create, volume.size) == (VolumeKind.POOL, False, "9Gi")


def test_what_is_told_about_the_gateway_reaches_the_plan() -> None:
    gateway = read(
        GATEWAY_BODY_LIMIT="1Mi", GATEWAY_ADMIT_LOOPBACK="false", GATEWAY_IPV6="true"
    ).gateway()
    assert gateway.body_limit == 2**20
    assert not gateway.admit_loopback
    assert gateway.listen.address == "::"
    assert read().gateway().listen.address == "0.0.0.0"


def test_a_slash_at_the_end_of_the_address_is_no_part_of_it() -> None:
    settings = read(GATEWAY_URL="https://models.example.com/")
    assert settings.gateway_base_url == "https://models.example.com"


WRONG: Final = {
    "a list with a name that is none": ({"WATCH_NAMESPACES": "a,B_"}, "at 1: write a name of"),
    "an entry that is no name and no star": ({"GATEWAY_ALLOW_FROM": "*,-"}, "or `*`"),
    "something that is no JSON": ({"FETCH_ENV": "A=b"}, "Invalid JSON"),
    "JSON of another shape": ({"FETCH_ENV": "[]"}, "should be a valid dictionary"),
    "an unknown key in JSON": ({"WEIGHTS_VOLUME": '{"sise": "1Gi"}'}, "at sise: Extra inputs"),
    "a size that is none": ({"WEIGHTS_VOLUME": '{"size": "1 GB"}'}, "at size: write a quantity"),
    "a claim that nobody would use": (
        {"WEIGHTS_VOLUME": '{"kind": "Pool", "existingClaim": "mine"}'},
        "existingClaim is 'mine'; leave one of them out",
    ),
    "a toleration without a key": ({"POOL_TOLERATIONS": "[{}]"}, "at 0.key: Field required"),
    "a duration without a unit": ({"REQUEST_TIMEOUT": "600"}, "write a duration"),
    "a number that is too small": ({"POOL_MODELS_MAX": "0"}, "greater than or equal to 1"),
    "a word that is not one of a few": ({"FAULT_TOLERANCE": "Raft"}, "should be 'None' or 'Redis'"),
    "a switch that is neither on nor off": ({"GATEWAY_IPV6": "maybe"}, "valid boolean"),
    "a port out of range": ({"METRICS_PORT": "70000"}, "less than or equal to 65535"),
}


@pytest.mark.parametrize("case", WRONG)
def test_is_refused_with_the_variable_its_value_and_the_rule(case: str) -> None:
    variables, rule = WRONG[case]
    ((name, value),) = variables.items()
    message = refused(**variables)
    assert message.startswith(f"SMALLMODEL_{name}={value!r}")
    assert rule in message
    # What the variable is for comes last.
    assert message.endswith(str(Settings.model_fields[name.lower()].description))


def test_every_wrong_variable_is_told_at_once() -> None:
    assert len(refused(WORKERS_MAX="0", POOL_MODELS_MAX="x", LOG_LEVEL="loud").splitlines()) == 3


def test_a_store_needs_an_address() -> None:
    assert refused(FAULT_TOLERANCE="Redis") == (
        "SMALLMODEL_FAULT_TOLERANCE is Redis, which needs SMALLMODEL_REDIS_ADDRESS (HOST:PORT)"
    )


def test_settings_are_never_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        read().namespace = "other"  # type: ignore[misc]  # what the test is about


def test_every_setting_says_what_it_is() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


def test_every_setting_is_on_its_page() -> None:
    path = Path(__file__).resolve().parents[2] / "docs" / "reference" / "environment.md"
    page = path.read_text(encoding="utf-8")
    rows = {
        f"| `{field.alias}` | {field.description} |" for field in Settings.model_fields.values()
    }
    assert {row for row in rows if row not in page} == set()
