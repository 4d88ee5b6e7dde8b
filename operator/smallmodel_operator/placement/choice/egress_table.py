"""What a GB costs on its way out of a cloud, by the region that it leaves. USD, first tier."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressRow:
    """Prices of one group of regions; None: not captured, so the internet's price counts."""

    regions: tuple[str, ...]
    """Their names, or how these begin."""
    same_region: float | None
    """Between zones."""
    same_continent: float | None
    """Between regions of the row."""
    inter_region: float | None
    """Between other regions of the provider."""
    internet: float

    def covers(self, region: str) -> bool:
        """Return whether a region is one of them."""
        return region.startswith(self.regions)

    def times(self, rate: float) -> "EgressRow":
        """Return the same regions at so many times the prices."""
        return EgressRow(
            regions=self.regions,
            same_region=_times(self.same_region, rate),
            same_continent=_times(self.same_continent, rate),
            inter_region=_times(self.inter_region, rate),
            internet=self.internet * rate,
        )


def _times(price: float | None, rate: float) -> float | None:
    return None if price is None else price * rate


def _aws(region: str, inter: float, internet: float) -> EgressRow:
    return EgressRow(
        regions=(region,),
        same_region=0.01,
        same_continent=inter,
        inter_region=inter,
        internet=internet,
    )


def _gcp(regions: tuple[str, ...], near: float, far: float, internet: float) -> EgressRow:
    return EgressRow(
        regions=regions,
        same_region=0.01,
        same_continent=near,
        inter_region=far,
        internet=internet,
    )


def _azure(regions: tuple[str, ...], internet: float) -> EgressRow:
    return EgressRow(
        regions=regions,
        same_region=0.0,
        same_continent=None,
        inter_region=None,
        internet=internet,
    )


_AZURE_NEAR: Final = (
    "eastus", "westus", "centralus", "northcentralus", "southcentralus", "westcentralus", "canada",
    "northeurope", "westeurope", "uk", "france", "germany", "switzerland", "norway", "sweden",
    "italy", "poland", "spain", "austria",
)  # fmt: skip
_AZURE_FAR: Final = (
    "eastasia", "southeastasia", "japan", "korea", "centralindia", "southindia", "westindia",
    "uae", "qatar", "israel", "australia", "newzealand", "southafrica",
)  # fmt: skip

ROWS: Final[dict[str, tuple[EgressRow, ...]]] = {
    "aws": (
        EgressRow(
            regions=("us-", "eu-", "ca-"),
            same_region=0.01,
            same_continent=0.02,
            inter_region=0.02,
            internet=0.09,
        ),
        _aws("ap-northeast-1", 0.09, 0.114),
        _aws("ap-south-1", 0.086, 0.1093),
        _aws("ap-southeast-1", 0.09, 0.12),
        _aws("ap-southeast-2", 0.098, 0.114),
        _aws("ap-southeast-3", 0.10, 0.132),
        _aws("ap-northeast-2", 0.08, 0.126),
        _aws("sa-east-1", 0.138, 0.15),
        _aws("me-south-1", 0.1105, 0.117),
        _aws("af-south-1", 0.147, 0.154),
    ),
    "gcp": (
        _gcp(("us-", "northamerica-"), 0.01, 0.08, 0.12),
        _gcp(("europe-",), 0.02, 0.08, 0.12),
        _gcp(("asia-southeast2",), 0.15, 0.15, 0.19),
        _gcp(("asia-",), 0.05, 0.08, 0.19),
        _gcp(("southamerica-",), 0.08, 0.08, 0.12),
        _gcp(("australia-",), 0.15, 0.15, 0.19),
    ),
    "azure": (
        _azure(_AZURE_NEAR, 0.0875),
        _azure(_AZURE_FAR, 0.12),
        _azure(("brazil", "chile"), 0.181),
    ),
}
