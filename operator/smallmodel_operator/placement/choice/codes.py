"""What is said of a cluster when a model is placed, in one word each."""

from enum import StrEnum


class Code(StrEnum):
    """Why a cluster was chosen or was not."""

    RESIDENCY_FORBIDDEN = "ResidencyForbidden"
    """Its jurisdiction is outside what the data's laws allow, or nobody knows it."""
    AIR_GAP = "AirGap"
    """It is isolated, and lacks weights or data that are elsewhere."""
    API_MISSING = "ApiMissing"
    NOT_SELECTED = "NotSelected"
    """The model's own bounds leave it out: tiers, labels."""
    TAINTED = "Tainted"
    TERMINATING = "Terminating"
    CREDENTIAL_ERROR = "CredentialError"
    UNREACHABLE = "Unreachable"
    STALE_FACTS = "StaleFacts"
    UPLINK_CAPACITY = "UplinkCapacity"
    LATENCY_BOUND = "LatencyBound"
    CARBON_CAP = "CarbonCap"

    ENGINE_NOT_INSTALLED = "EngineNotInstalled"
    ACCELERATOR_MISSING = "AcceleratorMissing"
    ACCELERATOR_CAPACITY = "AcceleratorCapacity"
    MEMORY_FIT = "MemoryFit"
    CPU_FIT = "CpuFit"

    COST_CAP = "CostCap"
    SPREAD_LIMIT = "SpreadLimit"
    """Another copy is in the same failure domain already."""
    COST_HIGHER = "CostHigher"
    LESS_PREFERRED = "LessPreferred"
    """It breaks a law that is only preferred, and another breaks fewer."""
    NOT_WORTH_A_MOVE = "NotWorthAMove"
    """It would cost less than where the model is, and not enough less, or not for long enough."""

    LOWEST_COST = "LowestCost"
    KEPT = "Kept"
    """The model is there, and nothing is enough better."""
    HELD = "Held"
    """The model is there, a new one would not go there, and nothing moves for that alone."""
