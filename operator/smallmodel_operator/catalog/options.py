"""The values that the catalogue's decisions return."""

from dataclasses import dataclass

from smallmodel_operator.api.modelcard import ModelCard, Variant
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Memory of one replica while awake, in bytes, by what it is for."""

    weights: int
    kv_cache: int
    compute: int
    """Activations, compute buffers and captured graphs."""
    process: int
    """What the process needs before any model is loaded."""
    declared: int | None = None
    """What `resources.memory` says. It counts instead of the sum; the parts stay as computed."""

    @property
    def total(self) -> int:
        """What has to be free: the declared memory, or else all parts together."""
        if self.declared is not None:
            return self.declared
        return self.weights + self.kv_cache + self.compute + self.process


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One way to serve the model: everything but where."""

    variant: Variant
    engine: Engine
    """Never `Auto`."""
    size: Size
    kv_bytes_per_token: int
    """0 for a model without a cache, and for an unknown architecture."""
    context_length: int
    """Tokens of one request."""
    slots: int
    """Requests that are computed at the same time."""
    target_ongoing_requests: int
    cpu: float | None
    """Cores for one replica where the user said so; unset: what the machine gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A variant that is not an option, and why."""

    variant: str
    reason: Reason
    message: str
    waits: bool = False
    """True: it may become an option by itself, for example when somebody else's pod goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedModel:
    """A SmallModel's card and what can be served of it, best option first."""

    name: str
    card: ModelCard
    options: tuple[Option, ...]
    """Never empty. Ordered by preference; the first that fits a machine is taken there."""
    refusals: tuple[Refusal, ...] = ()
    engine_options: tuple[tuple[str, str], ...] = ()
    """The user's allowed engine arguments, sorted by name; without those that `slots` renders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolveError:
    """Why a SmallModel cannot be served anywhere: a value, not an exception."""

    reason: Reason
    message: str
    """The value, the rule and the next step."""
