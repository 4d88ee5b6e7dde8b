"""Values of the plan room: complete, small, and changed where a test says so."""

from typing import Any

from hypothesis import strategies as st

from builders import yaml_objects
from smallmodel_operator.api.fetch import FetchDone
from smallmodel_operator.api.modelcard import ModelCard, Task
from smallmodel_operator.api.names import gateway_identity
from smallmodel_operator.api.serving import LlamaCppArgs, ModelArgs, ModelTuning
from smallmodel_operator.api.smallmodel import Accelerator, Engine, Scaling, SmallModel
from smallmodel_operator.catalog.options import Option, ResolvedModel, Size
from smallmodel_operator.placement.placement import Placement
from smallmodel_operator.plan.gateway.cluster_values import NamespaceRoutes, Peer, RoutedModel
from smallmodel_operator.plan.gateway.values import Endpoint, GatewayModel, GatewaySettings
from smallmodel_operator.plan.pool import PlannedModel, Pool

MIB = 2**20
SHA256 = "ab" * 32

names = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?", fullmatch=True)
"""Names that a SmallModel may have."""


def small_model(name: str = "chat", **scaling: Any) -> SmallModel:
    """A SmallModel with that scaling, its fields named as in YAML."""
    return SmallModel.model_validate(yaml_objects.small_model(name, model="tiny", scaling=scaling))


def resolved_model(
    engine: Engine = Engine.LLAMA_CPP,
    *,
    task: Task = Task.CHAT,
    engine_options: tuple[tuple[str, str], ...] = (),
    **option: Any,
) -> ResolvedModel:
    """A model with one option."""
    card = ModelCard.model_validate(yaml_objects.model_card(task=task.value))
    values: dict[str, Any] = {
        "variant": card.spec.variants[0],
        "engine": engine,
        "size": Size(weights=90 * MIB, kv_cache=24 * MIB, compute=10 * MIB, process=60 * MIB),
        "kv_bytes_per_token": 3072,
        "context_length": 2048,
        "slots": 4,
        "target_ongoing_requests": 4,
        "cpu": None,
    }
    return ResolvedModel(
        name="chat",
        card=card,
        options=(Option(**values | option),),
        engine_options=engine_options,
    )


def placement(
    resolved: ResolvedModel,
    *,
    threads: int | None = None,
    accelerator: Accelerator | None = None,
    device_percent: int | None = None,
) -> Placement:
    """The model's first option, on this machine."""
    return Placement(
        machine="here",
        option=resolved.options[0],
        max_replicas=2,
        threads=threads,
        accelerator=accelerator,
        device_percent=device_percent,
    )


def fetched(**changed: Any) -> FetchDone:
    """A verified file."""
    values = {"path": "/cache/tiny/q4_1.gguf", "bytes": 90 * MIB, "sha256": SHA256}
    return FetchDone(**values | changed)


def model_args(name: str = "chat", **changed: Any) -> ModelArgs:
    """Arguments for llama.cpp."""
    values: dict[str, Any] = {
        "name": name,
        "task": Task.CHAT,
        "weights": f"/cache/{name}.gguf",
        "sha256": SHA256,
        "engine": LlamaCppArgs(context_length=2048, slots=4, threads=None),
        "memory_bytes": 184 * MIB,
    }
    return ModelArgs(**values | changed)


def planned_model(name: str = "chat", **changed: Any) -> PlannedModel:
    """A model that was never verified, with default scaling."""
    values: dict[str, Any] = {
        "name": name,
        "args": model_args(name),
        "tuning": ModelTuning(idle_timeout_seconds=300, start_timeout_seconds=60),
        "scaling": Scaling(),
        "max_replicas": 2,
        "max_ongoing_requests": 8,
        "target_ongoing_requests": 4,
        "resting_memory_bytes": 60 * MIB,
    }
    return PlannedModel(**values | changed)


def pool(*names_: str) -> Pool:
    """A pool of models with those names, in that order."""
    return Pool(models=tuple(planned_model(name) for name in names_))


def gateway_model(name: str = "chat", **changed: Any) -> GatewayModel:
    """A model that can be asked."""
    values: dict[str, Any] = {"name": name, "request_timeout_seconds": 300.0}
    return GatewayModel(**values | changed)


def gateway_settings(**changed: Any) -> GatewaySettings:
    """Fixed ports and a fixed folder, so that the text is the same everywhere."""
    values: dict[str, Any] = {
        "listen": Endpoint(address="127.0.0.1", port=8080),
        "serve": Endpoint(address="127.0.0.1", port=8000),
        "discovery_folder": "/run/gateway/discovery",
    }
    return GatewaySettings(**values | changed)


def routed_model(name: str = "chat", port: int = 8000, **changed: Any) -> RoutedModel:
    """A model whose pool answers at that port of loopback."""
    upstream = Endpoint(address="127.0.0.1", port=port)
    return RoutedModel(model=gateway_model(name, **changed), upstream=upstream)


def peer(cluster: str = "munich", **changed: Any) -> Peer:
    """The gateway of another cluster."""
    values: dict[str, Any] = {
        "cluster": cluster,
        "address": Endpoint(address=f"{cluster}.example.com", port=8443),
        "identity": gateway_identity(cluster, "hub-1"),
    }
    return Peer(**values | changed)


def namespace_routes(name: str = "team-a", *models: RoutedModel, **changed: Any) -> NamespaceRoutes:
    """A namespace with those models, for everyone."""
    return NamespaceRoutes(name=name, models=models, **changed)
