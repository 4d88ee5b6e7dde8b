"""What a benchmark run is made of, as it lies in `bench/results/`."""

from enum import StrEnum

from smallmodel_operator.api.base import ApiModel


class Bound(StrEnum):
    """On which side of its target a figure should lie."""

    AT_MOST = "≤"
    AT_LEAST = "≥"


class Judge(StrEnum):
    """Which value of a figure's runs its target is compared with."""

    MEDIAN = "median"
    WORST = "worst"
    SUM = "sum"


class Target(ApiModel):
    """What a figure should reach."""

    bound: Bound
    value: float
    judge: Judge = Judge.MEDIAN


class Figure(ApiModel):
    """One number, as each run gave it."""

    name: str
    unit: str
    runs: tuple[float, ...]
    target: Target | None = None


class Breakdown(ApiModel):
    """A table beside the figures, such as memory by process."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Report(ApiModel):
    """What one measurement gave."""

    name: str
    about: str
    """What was done, in sentences."""
    taken_at: str = ""
    """When it began, as RFC 3339."""
    commit: str = ""
    """What was measured, with `-dirty` where files differed from it."""
    seconds: float = 0.0
    """How long it took."""
    load_before: float = 0.0
    """The machine's load average over one minute when it began."""
    figures: tuple[Figure, ...] = ()
    breakdowns: tuple[Breakdown, ...] = ()
    notes: tuple[str, ...] = ()
    error: str | None = None
    """Set where it could not be done."""


class Host(ApiModel):
    """What was measured on."""

    processor: str
    cores: int
    memory_bytes: int
    kernel: str
    python: str
    packages: dict[str, str]


class Results(ApiModel):
    """One run of the benchmark."""

    taken_at: str
    """When it began, as RFC 3339."""
    runs: int
    quick: bool
    host: Host
    reports: tuple[Report, ...]
