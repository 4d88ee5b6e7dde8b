"""The DataSource: where data lives, and which law binds it."""

from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from smallmodel_operator.api.base import ApiModel, Duration, seconds
from smallmodel_operator.api.cel import Rule, checked_by
from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.names import API_VERSION
from smallmodel_operator.api.smallmodel import Name
from smallmodel_operator.api.where import Jurisdiction, Where

_GRACE_MAX_SECONDS: Final = 3600.0


class Enforcement(StrEnum):
    """How strictly a residency holds."""

    REQUIRED = "Required"
    """Nothing that reads the data runs elsewhere."""
    PREFERRED = "Preferred"
    """A cluster inside is taken before a cheaper one outside."""


class AppliesTo(StrEnum):
    """Which models a data source binds."""

    NAMESPACE = "Namespace"
    """Every SmallModel of its namespace, whether it names the source or not."""
    REFERENCED = "Referenced"
    """Those that name it in `spec.data`."""


class DataLocation(Where):
    """A place that has all of the data."""

    model_config = ConfigDict(
        json_schema_extra=checked_by(
            Rule(
                "has(self.cluster) || has(self.provider) || has(self.region) || has(self.zone) || "
                "has(self.site)",
                "a location says nothing; write `cluster: <ModelCluster>`, or `provider` with "
                "`region`, or `site`",
            )
        )
    )

    cluster: Name | None = None
    """The ModelCluster in which it is; its own location counts then."""

    @model_validator(mode="after")
    def _says_something(self) -> "DataLocation":
        if not any((self.cluster, self.provider, self.region, self.zone, self.site)):
            raise ValueError(
                "a location says nothing; write `cluster: <ModelCluster>`, or `provider` with "
                "`region`, or `site`"
            )
        return self


class CachedShare(ApiModel):
    """A copy of a part of the data."""

    cluster: Name
    """The ModelCluster that has it."""
    percent: Annotated[int, Field(ge=0, le=100)]
    """Of the bytes that are read."""


def _at_most_an_hour(duration: str) -> str:
    if seconds(duration) > _GRACE_MAX_SECONDS:
        raise ValueError(
            f"graceful is {duration}, and a copy outside of the law may go on for 1h at most"
        )
    return duration


class Residency(ApiModel):
    """Where the data may be read."""

    jurisdictions: Annotated[tuple[Jurisdiction, ...], Field(min_length=1, max_length=250)]
    """Countries by their ISO 3166-1 codes, and the groups EU and EEA."""
    enforcement: Enforcement = Enforcement.REQUIRED
    """How strictly it holds."""
    graceful: Annotated[Duration, AfterValidator(_at_most_an_hour)] = "0s"
    """How long a copy that comes to be outside may go on until another one answers; at most 1h. By
    default it ends at once."""


class DataSourceSpec(ApiModel):
    """What the data's owner says of it."""

    locations: Annotated[tuple[DataLocation, ...], Field(max_length=16)] = ()
    """Places, each with all of it. None: bytes of it cost what the tables say of an unknown
    place."""
    cached: Annotated[tuple[CachedShare, ...], Field(max_length=64)] = ()
    """Copies of parts of it."""
    residency: Residency | None = None
    """Where it may be read; unset: anywhere."""
    applies_to: AppliesTo = AppliesTo.NAMESPACE
    """Which models the residency binds."""


class DataSource(ApiModel):
    """Data that models read. Its owner and a model's author can be two people."""

    api_version: Literal["smallmodel.dev/v1alpha1"] = API_VERSION
    kind: Literal["DataSource"] = "DataSource"
    metadata: ObjectMeta
    spec: DataSourceSpec = DataSourceSpec()
