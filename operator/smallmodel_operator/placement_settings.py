"""How an installation weighs clusters: the part of its settings that placing takes.

Parsing does no I/O.
"""

from dataclasses import replace
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from smallmodel_operator.api.base import ApiModel, Duration, seconds
from smallmodel_operator.api.where import Country, Money
from smallmodel_operator.placement.choice.tables import SHIPPED, Tables, in_currency
from smallmodel_operator.placement.choice.wish import USUAL, Policy

CURRENCY: Final = r"^[A-Z]{3}$"


class TableSettings(ApiModel):
    """Numbers in place of those of the shipped tables. Money is in the installation's currency."""

    cpu_hour: Money | None = None
    """Of one core."""
    memory_gb_hour: Annotated[Money | None, Field(alias="memoryGBHour")] = None
    """Of 10^9 bytes."""
    accelerator_hour: Money | None = None
    """Of a device of any product."""
    accelerators: dict[str, Money] = Field(default_factory=dict)
    """Of devices, by product."""
    egress_gb: Annotated[Money | None, Field(alias="egressPerGB")] = None
    """Of bytes from a place of no known provider."""
    grid_intensity: dict[Country, Annotated[int, Field(ge=0, le=2000)]] = Field(
        default_factory=dict
    )
    """g CO2e per kWh, by country."""


class PlacementSettings(ApiModel):
    """How clusters are weighed."""

    currency: Annotated[str, Field(pattern=CURRENCY)] = "USD"
    """The one currency of all prices."""
    usd_rate: Money | None = None
    """What one USD is in it, since the shipped tables are in USD."""
    carbon_price_per_ton: Money | None = None
    """Of CO2e; 0 leaves emissions out of the cost. Unset: 190 USD."""
    minimum_stay: Duration = "30m"
    """How long a copy stays before it moves for less money."""
    moves_per_minute: Annotated[int, Field(ge=1, le=1000)] = 10
    """Of all models together."""
    tables: TableSettings = TableSettings()
    """Numbers in place of those of the shipped tables."""

    @model_validator(mode="after")
    def _another_currency_has_a_rate(self) -> Self:
        if self.currency != USUAL.currency and not float(self.usd_rate or "0"):
            raise ValueError(
                f"currency is {self.currency}, and the shipped tables are in USD; set usdRate to "
                "what one USD is in it, for example 0.92"
            )
        return self

    def policy(self) -> Policy:
        """Return it as the choice among clusters takes it."""
        rate = self._rate
        carbon = self.carbon_price_per_ton
        return replace(
            USUAL,
            currency=self.currency,
            carbon_price_ton=USUAL.carbon_price_ton * rate if carbon is None else float(carbon),
            least_gain_hour=USUAL.least_gain_hour * rate,
            disruption=USUAL.disruption * rate,
            dwell_seconds=seconds(self.minimum_stay),
            moves_per_minute=self.moves_per_minute,
        )

    def price_tables(self) -> Tables:
        """Return the shipped tables in the installation's currency, with its own numbers."""
        own, shipped = self.tables, in_currency(SHIPPED, self._rate)
        return replace(
            shipped,
            cpu_hour=_or(own.cpu_hour, shipped.cpu_hour),
            memory_gb_hour=_or(own.memory_gb_hour, shipped.memory_gb_hour),
            any_accelerator_hour=_or(own.accelerator_hour, shipped.any_accelerator_hour),
            accelerator_hour={product: float(hour) for product, hour in own.accelerators.items()},
            any_egress_gb=_or(own.egress_gb, shipped.any_egress_gb),
            grid={**shipped.grid, **own.grid_intensity},
        )

    @property
    def _rate(self) -> float:
        return float(self.usd_rate) if self.usd_rate is not None else 1.0


def _or(own: str | None, shipped: float) -> float:
    return float(own) if own is not None else shipped
