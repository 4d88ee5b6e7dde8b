"""What the operator is told at its start, read once from the environment.

The chart writes these variables from its values; `docs/reference/environment.md` lists them.
Parsing does no I/O: the caller hands the environment in.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Final, Literal, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    Json,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from smallmodel_operator.api import patterns
from smallmodel_operator.api.base import ApiModel, Duration, Quantity, amount, seconds
from smallmodel_operator.api.credential_providers import CredentialProviders
from smallmodel_operator.api.where import Country
from smallmodel_operator.placement_settings import CURRENCY, PlacementSettings
from smallmodel_operator.plan.gateway.cluster_values import ClusterGatewaySettings
from smallmodel_operator.plan.gateway.http_route import ParentGateway
from smallmodel_operator.plan.pools.values import (
    MODELS_PER_POOL,
    WEIGHTS_CLAIM,
    AcceleratorNodes,
    FaultTolerance,
    PoolSettings,
    Toleration,
    UpgradePolicy,
    VolumeKind,
    WeightsVolume,
)

PREFIX: Final = "SMALLMODEL_"
EVERY_NAMESPACE: Final = "*"
"""In `gateway_allow_from`: whoever reaches the gateway may ask every model."""

_NAME_OR_STAR: Final = r"^(\*|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$"
_STORE_URL: Final = r"^https?://[^\s/?#@]+(/[^\s?#@]*)?$"
_MEANINGS: Final = {
    **patterns.MEANINGS,
    CURRENCY: "a currency's three letters, for example EUR",
    _STORE_URL: "http:// or https://, a host, and where needed a port and a path, without "
    "credentials and query, for example https://s3.amazonaws.com",
    _NAME_OR_STAR: f"{patterns.MEANINGS[patterns.NAME]}, or `*`",
}


class SettingsError(Exception):
    """The environment does not hold what the operator needs; each line names one variable."""


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


Namespace = Annotated[str, StringConstraints(pattern=patterns.NAME, max_length=63)]
Namespaces = Annotated[tuple[Namespace, ...], BeforeValidator(_split)]
Names = Annotated[tuple[str, ...], BeforeValidator(_split)]
AllowedNamespace = Annotated[str, StringConstraints(pattern=_NAME_OR_STAR, max_length=63)]
AllowedNamespaces = Annotated[tuple[AllowedNamespace, ...], BeforeValidator(_split)]
Port = Annotated[int, Field(ge=1, le=65535)]


class WeightsSettings(ApiModel):
    """The volume in which fetched weights lie."""

    kind: VolumeKind = VolumeKind.CLAIM
    """Claim: one for each namespace. Pool: none, and each worker fetches what it serves."""
    storage_class_name: str | None = None
    """Unset: the cluster's default."""
    size: Quantity = "50Gi"
    """Of the claim that is made, or the most that a pool's volume holds."""
    access_mode: Literal["ReadWriteOnce", "ReadWriteMany"] = "ReadWriteOnce"
    """ReadWriteMany where the workers of one namespace run on several nodes."""
    existing_claim: str | None = None
    """A claim that is there in each namespace with models; unset: the operator makes one."""

    @model_validator(mode="after")
    def _a_pool_has_no_claim(self) -> Self:
        if self.kind is VolumeKind.POOL and self.existing_claim is not None:
            raise ValueError(
                f"kind is Pool, which uses no claim, and existingClaim is {self.existing_claim!r}; "
                "leave one of them out"
            )
        return self

    def volume(self) -> WeightsVolume:
        """Return it as the plan takes it."""
        return WeightsVolume(
            kind=self.kind,
            claim=self.existing_claim or WEIGHTS_CLAIM,
            create=self.kind is VolumeKind.CLAIM and self.existing_claim is None,
            size=self.size,
            storage_class=self.storage_class_name,
            access_mode=self.access_mode,
        )


class TolerationSettings(ApiModel):
    """A taint that pods put up with."""

    key: str
    """The taint's key."""
    operator: Literal["Exists", "Equal"] = "Exists"
    """Equal: the taint must have `value`."""
    value: str | None = None
    """The taint's value."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Unset: every effect."""

    def toleration(self) -> Toleration:
        """Return it as the plan takes it."""
        return Toleration(
            key=self.key, operator=self.operator, value=self.value, effect=self.effect
        )


class HttpRouteSettings(ApiModel):
    """A Gateway of the Gateway API, to which HTTPRoutes lead instead of our own gateway."""

    name: Namespace
    """Its name."""
    namespace: Namespace
    """Where it is. Its listeners must take routes from the namespaces with models."""
    section_name: str | None = None
    """One of its listeners; unset: all."""
    hostnames: tuple[str, ...] = ()
    """The hosts whose requests are taken; none: those of the listeners."""
    pod_namespaces: tuple[Namespace, ...] = ()
    """Where its pods are, which must reach the pools; none: in its own namespace."""

    def parent(self) -> ParentGateway:
        """Return it as the plan takes it."""
        return ParentGateway(
            name=self.name,
            namespace=self.namespace,
            section=self.section_name,
            hostnames=self.hostnames,
        )


class Settings(ApiModel):
    """The installation's choices. A field `x_y` is the variable `SMALLMODEL_X_Y`."""

    model_config = ConfigDict(alias_generator=lambda field: PREFIX + field.upper())

    namespace: Namespace
    """The operator's own namespace, from the downward API."""
    pod_name: str = "smallmodel-operator"
    """The identity under which the Lease is held, from the downward API."""
    lease: Namespace = "smallmodel-operator"
    """The Lease in the own namespace that the acting replica holds."""
    watch_namespaces: Namespaces = ()
    """Where SmallModels are looked for; empty: everywhere."""
    serving_cpu_image: Annotated[str, Field(min_length=1)]
    """The image of Ray heads, of workers without an accelerator and of fetch Jobs."""
    serving_gpu_image: str | None = None
    """The image of workers with an accelerator; unset: none are offered."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """Of the pods that the operator makes."""
    image_pull_secrets: Names = ()
    """Names of pull secrets, which must exist in each namespace with models."""
    gateway_url: str | None = None
    """The address in `status.url`, without a path; unset: the gateway's Service."""
    gateway_allow_from: AllowedNamespaces = ()
    """Namespaces whose pods may ask every model, or `*`; a namespace's own pods always may."""
    gateway_admit_loopback: bool = True
    """Admit what reaches the gateway from its own pod, as `kubectl port-forward` does."""
    gateway_body_limit: Quantity = "32Mi"
    """The largest body of a request."""
    gateway_ipv6: bool = False
    """The gateway's pods listen on IPv6 too, which the nodes must have."""
    http_route: Json[HttpRouteSettings] | None = None
    """A JSON object: name, namespace, sectionName, hostnames, podNamespaces of your own Gateway."""
    fetch_env: Json[dict[str, str]] = Field(default_factory=dict)
    """A JSON object: further variables of fetch Jobs, for example `PIP_INDEX_URL`."""
    weights_volume: Json[WeightsSettings] = WeightsSettings()
    """A JSON object: kind, storageClassName, size, accessMode, existingClaim."""
    credential_providers: Json[CredentialProviders] = ()
    """A JSON array of {name, execConfig}: programs that give tokens for ClusterProfiles."""
    cluster_jurisdiction: Country | None = None
    """The country whose law holds in this cluster; unset: placements are not compared with it."""
    placement: Json[PlacementSettings] = PlacementSettings()
    """A JSON object, as the chart's value `placement` is. How clusters are weighed."""
    s3_endpoint: Annotated[str, Field(pattern=_STORE_URL)] | None = None
    """The S3 that is asked, without credentials, where DataSources' buckets are; unset: none."""
    workers_max: Annotated[int, Field(ge=1, le=1000)] = 10
    """The most worker pods of one pool."""
    pool_models_max: Annotated[int, Field(ge=1, le=100)] = MODELS_PER_POOL
    """The most models of one pool."""
    pool_upgrade_policy: UpgradePolicy = UpgradePolicy.MOVE
    """Move: models go one at a time to a new pool. Recreate: the old pool ends first."""
    pool_surge_max: Annotated[int, Field(ge=0, le=100)] = 1
    """Pools beyond the old ones while models move to a new template."""
    pool_tolerations: Json[tuple[TolerationSettings, ...]] = ()
    """A JSON array of {key, operator, value, effect}: taints that pools and fetch Jobs tolerate."""
    request_timeout: Duration = "10m"
    """The longest `requestTimeout` that a pool honours; another value makes new pools."""
    accelerator_resource: str = AcceleratorNodes().resource
    """The extended resource of an accelerator."""
    accelerator_product_label: str = AcceleratorNodes().product_label
    """The node label with the accelerator's product."""
    accelerator_tolerations: Json[tuple[TolerationSettings, ...]] = (
        TolerationSettings(key="nvidia.com/gpu"),
    )
    """A JSON array, as above: taints that workers with an accelerator tolerate."""
    kuberay_namespace: Namespace = "kuberay-system"
    """Where KubeRay runs, whose pods must reach the pools."""
    metrics_namespaces: Namespaces = ()
    """Namespaces whose pods may read the pools' metrics."""
    fault_tolerance: Literal["None", "Redis"] = "None"
    """Redis: Ray's state outlives the head, and models go on answering while it restarts."""
    redis_address: str | None = None
    """HOST:PORT of the store, with `SMALLMODEL_FAULT_TOLERANCE=Redis`."""
    redis_secret: str | None = None
    """A Secret with the key `password`, which must exist in each namespace with models."""
    listen: str = "0.0.0.0"  # noqa: S104 - a pod's own address; the NetworkPolicy is the fence
    """The address of the two ports below."""
    metrics_port: Port = 8080
    """Prometheus metrics."""
    health_port: Port = 8081
    """`/healthz` and `/readyz`."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least severe line that is written."""
    log_format: Literal["json", "text"] = "json"
    """Text is for people at a terminal."""

    @model_validator(mode="after")
    def _redis_has_an_address(self) -> Self:
        if self.fault_tolerance == "Redis" and self.redis_address is None:
            raise ValueError(
                "SMALLMODEL_FAULT_TOLERANCE is Redis, which needs SMALLMODEL_REDIS_ADDRESS "
                "(HOST:PORT)"
            )
        return self

    @model_validator(mode="after")
    def _a_gateway_has_an_address(self) -> Self:
        if self.http_route is not None and self.gateway_url is None:
            raise ValueError(
                "SMALLMODEL_HTTP_ROUTE names a Gateway whose address only you know: set "
                "SMALLMODEL_GATEWAY_URL, for example https://models.example.com"
            )
        return self

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read every variable that has a field here; an empty one counts as unset.

        Raises:
            SettingsError: A variable is missing or wrong; each line names one, its value and
                its rule.
        """
        given = given_in(environment, cls)
        try:
            return cls.model_validate(given)
        except ValidationError as error:
            lines = [_sentence(found, given) for found in error.errors(include_url=False)]
            raise SettingsError("\n".join(lines)) from error

    @property
    def gateway_base_url(self) -> str:
        """Where `/NAMESPACE/v1` follows, without a slash at its end."""
        url = self.gateway_url or f"http://smallmodel-gateway.{self.namespace}.svc"
        return url.rstrip("/")

    def model_url(self, namespace: str, model: str) -> str:
        """Return the base URL of a model for OpenAI clients: its namespace's, or its own path's."""
        base = f"{self.gateway_base_url}/{namespace}"
        return f"{base}/v1" if self.http_route is None else f"{base}/{model}/v1"

    def pools(self, hub_id: str) -> PoolSettings:
        """Return what all pools have in common.

        Args:
            hub_id: The installation's id, which is kept in a Secret and no setting.
        """
        return PoolSettings(
            hub_id=hub_id,
            operator_namespace=self.namespace,
            cpu_image=self.serving_cpu_image,
            gpu_image=self.serving_gpu_image,
            image_pull_policy=self.image_pull_policy,
            image_pull_secrets=self.image_pull_secrets,
            weights=self.weights_volume.volume(),
            fetch_environment=tuple(sorted(self.fetch_env.items())),
            models_per_pool=self.pool_models_max,
            upgrade_policy=self.pool_upgrade_policy,
            max_surge_pools=self.pool_surge_max,
            tolerations=_tolerations(self.pool_tolerations),
            accelerators=AcceleratorNodes(
                resource=self.accelerator_resource,
                product_label=self.accelerator_product_label,
                tolerations=_tolerations(self.accelerator_tolerations),
            ),
            kuberay_namespace=self.kuberay_namespace,
            gateway_namespaces=self._gateway_namespaces(),
            metrics_namespaces=self.metrics_namespaces,
            request_timeout_seconds=seconds(self.request_timeout),
            fault_tolerance=(
                FaultTolerance(
                    redis_address=self.redis_address or "", redis_secret=self.redis_secret
                )
                if self.fault_tolerance == "Redis"
                else None
            ),
        )

    def _gateway_namespaces(self) -> tuple[str, ...]:
        if self.http_route is None:
            return ()
        return self.http_route.pod_namespaces or (self.http_route.namespace,)

    def gateway(self) -> ClusterGatewaySettings:
        """Return what stays while the gateway runs."""
        settings = ClusterGatewaySettings(
            body_limit=int(amount(self.gateway_body_limit)),
            admit_loopback=self.gateway_admit_loopback,
        )
        if self.gateway_ipv6:
            return replace(settings, listen=replace(settings.listen, address="::"))
        return settings


def given_in(environment: Mapping[str, str], settings: type[ApiModel]) -> dict[str, str]:
    """Return the variables that have a field in these settings; an empty one counts as unset."""
    names = [field.alias for field in settings.model_fields.values() if field.alias]
    return {name: environment[name] for name in names if environment.get(name)}


def _tolerations(told: Iterable[TolerationSettings]) -> tuple[Toleration, ...]:
    return tuple(each.toleration() for each in told)


def _sentence(found: ErrorDetails, given: Mapping[str, str]) -> str:
    if not found["loc"]:
        return found["msg"].removeprefix("Value error, ")
    name, *inside = (str(part) for part in found["loc"])
    field = Settings.model_fields[name.removeprefix(PREFIX).lower()]
    if name not in given:
        return f"{name} is not set: {field.description} The chart sets it."
    place = f" at {'.'.join(inside)}" if inside else ""
    rule = found["msg"]
    for pattern, words in _MEANINGS.items():
        rule = rule.replace(f"String should match pattern '{pattern}'", f"write {words}")
    return f"{name}={given[name]!r}{place}: {rule}. {field.description}"
