"""The values that placing returns."""

from dataclasses import dataclass

from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import Accelerator
from smallmodel_operator.catalog.options import Option, Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """The option that one machine or cluster serves, and how many replicas have room there."""

    machine: str
    """The machine's name, or the cluster's."""
    option: Option
    max_replicas: int
    """At most the spec's; fewer where the machine's cores or memory end first."""
    threads: int | None
    """Threads of each engine where the user set `resources.cpu`."""
    accelerator: Accelerator | None = None
    """Devices of each replica; unset: the engine runs on the CPU."""
    device_percent: int | None = None
    """Hundredths of one device that a replica takes; unset: its devices are its own."""
    rejected: tuple[Refusal, ...] = ()
    """Better options that do not fit, and why."""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unplaced:
    """Why no option can run on the machine or in the cluster."""

    reason: Reason
    message: str
    rejected: tuple[Refusal, ...] = ()
    waits: bool = False
    """True: the model goes on by itself as soon as there is room; nobody has to act."""
