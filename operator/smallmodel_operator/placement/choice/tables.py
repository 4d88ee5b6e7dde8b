"""Numbers for what nobody declared: prices, egress, grids, board power.

Each has its source, licence and date, and each can be replaced: `dataclasses.replace(SHIPPED, …)`.
A number out of a table is always marked as assumed, or with its table's name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from smallmodel_operator.placement.choice import egress_table
from smallmodel_operator.placement.choice.egress_table import EgressRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a table comes from."""

    table: str
    source: str
    licence: str
    as_of: str
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """What is assumed where nothing is declared."""

    cpu_hour: float
    memory_gb_hour: float
    accelerator_hour: Mapping[str, float]
    """By product; `any_accelerator_hour` where it is not in here."""
    any_accelerator_hour: float
    egress: Mapping[str, tuple[EgressRow, ...]]
    """By provider."""
    any_egress_gb: float
    """From a place of which no provider is known."""
    grid: Mapping[str, float]
    """g CO2e per kWh by country."""
    world_grid: float
    watts: Mapping[str, float]
    """Board power by what a product's name contains, longest first."""
    cpu_watts: float
    """Of one busy core."""
    pue: Mapping[str, float]
    """By provider."""
    any_pue: float
    origins: tuple[Origin, ...] = field(default=())


_GRID: Final = {
    "DE": 380.95, "FR": 56.04, "NL": 267.62, "BE": 138.11, "IE": 290.81, "GB": 237.59,
    "SE": 40.70, "NO": 30.08, "FI": 79.16, "DK": 151.65, "CH": 34.84, "AT": 110.81,
    "ES": 174.05, "PT": 165.55, "IT": 330.72, "PL": 661.93, "CZ": 449.72, "US": 369.47,
    "CA": 170.04, "BR": 98.35, "CL": 291.11, "MX": 507.25, "IN": 713.44, "JP": 485.39,
    "KR": 430.57, "SG": 470.78, "ID": 675.93, "AU": 548.69, "NZ": 112.76, "ZA": 707.69,
    "AE": 561.14, "SA": 706.79, "QA": 602.50, "IL": 582.93, "CN": 582.32, "TW": 642.38,
}  # fmt: skip

_WATTS: Final = {
    "AGX-Orin": 60.0, "AGX-Xavier": 30.0, "RTX-A6000": 300.0, "RTX-3090": 350.0, "L40S": 350.0,
    "H100": 700.0, "H200": 700.0, "A100": 400.0, "A10G": 150.0, "V100": 300.0, "B200": 1000.0,
    "L40": 300.0, "L4": 72.0, "T4": 70.0,
}  # fmt: skip

SHIPPED: Final = Tables(
    cpu_hour=0.031611,
    memory_gb_hour=0.004237,
    accelerator_hour={},
    any_accelerator_hour=0.95,
    egress=egress_table.ROWS,
    any_egress_gb=0.12,
    grid=_GRID,
    world_grid=475.0,
    watts=_WATTS,
    cpu_watts=3.5,
    pue={"gcp": 1.12, "aws": 1.2, "azure": 1.12},
    any_pue=1.56,
    origins=(
        Origin(
            table="prices",
            source="OpenCost, generic default prices",
            licence="Apache-2.0",
            as_of="2026-11",
            method="list prices of a generic cloud; the same for every accelerator",
        ),
        Origin(
            table="egress",
            source="Skyplane cost tables; for a place of no known provider OpenCost's default",
            licence="Apache-2.0",
            as_of="2023",
            method="list price of the first tier, without discounts",
        ),
        Origin(
            table="grid",
            source="CodeCarbon global_energy_mix.json, from Our World in Data, Ember and the "
            "Energy Institute; world: IEA, Global Energy and CO2 Status Report 2019",
            licence="MIT; data CC BY 4.0",
            as_of="2023, and 2022 for ID, AE, SA and IL; world 2018",
            method="average over a country and a year",
        ),
        Origin(
            table="watts",
            source="mlco2/impact, and vendors' data sheets; a core: Cloud Carbon Footprint, AWS",
            licence="single facts of products; Cloud Carbon Footprint Apache-2.0",
            as_of="2026-11",
            method="board power at full load; the greater of PCIe and SXM",
        ),
        Origin(
            table="pue",
            source="Green Algorithms, data version 3",
            licence="CC BY 4.0",
            as_of="2026-11",
            method="a provider's average over its data centres",
        ),
    ),
)
"""What is shipped."""


def in_currency(tables: Tables, rate: float) -> Tables:
    """Return tables whose money is in another currency.

    Args:
        tables: What they are in now.
        rate: What one unit of that is in the other one.
    """
    return replace(
        tables,
        cpu_hour=tables.cpu_hour * rate,
        memory_gb_hour=tables.memory_gb_hour * rate,
        accelerator_hour={name: hour * rate for name, hour in tables.accelerator_hour.items()},
        any_accelerator_hour=tables.any_accelerator_hour * rate,
        any_egress_gb=tables.any_egress_gb * rate,
        egress={
            provider: tuple(row.times(rate) for row in rows)
            for provider, rows in tables.egress.items()
        },
    )
