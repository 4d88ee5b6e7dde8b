"""The DataSource: where data lives, and which law binds it."""

import re
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from smallmodel_operator.api import patterns
from smallmodel_operator.api.base import ApiModel, Duration, Quantity, seconds
from smallmodel_operator.api.cel import Rule, checked_by, keyed_by
from smallmodel_operator.api.meta import Condition, ObjectMeta
from smallmodel_operator.api.names import API_VERSION
from smallmodel_operator.api.smallmodel import Name
from smallmodel_operator.api.where import Jurisdiction, PlaceName, Where

_GRACE_MAX_SECONDS: Final = 3600.0
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_S3: Final = "s3://"
_BUCKET_MIN: Final = 3
_BUCKET_MAX: Final = 63
_CLAIM_AND_BUCKET: Final = (
    "claim and bucket are both given, and one of them says where the data is; remove the other, or "
    "write two DataSources"
)


class Enforcement(StrEnum):
    """How strictly a residency holds."""

    REQUIRED = "Required"
    """Nothing that reads the data runs elsewhere."""
    PREFERRED = "Preferred"
    """A cluster inside is taken before a cheaper one outside."""


class Classification(StrEnum):
    """How confidential data is, in the words that most organisations have for it."""

    PUBLIC = "Public"
    """Anybody may read it."""
    INTERNAL = "Internal"
    """Everybody of the organisation."""
    CONFIDENTIAL = "Confidential"
    """Who needs it."""
    RESTRICTED = "Restricted"
    """Named persons, as with data of health."""


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
    """The ModelCluster in which it is, whose own location counts for what is left open here."""
    size: Quantity | None = None
    """How much it is there, for people. It weighs nothing: what a model reads costs, which
    `spec.data[].readPerHour` of the SmallModel says."""

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


ClaimName = Annotated[str, Field(pattern=patterns.CLAIM_NAME, max_length=253)]


def bucket_name(url: str) -> str:
    """Return the name in a bucket's URL.

    Raises:
        ValueError: It is no URL of a bucket.
    """
    if not re.fullmatch(patterns.BUCKET_URL, url):
        raise ValueError(f"{url!r} is not {patterns.MEANINGS[patterns.BUCKET_URL]}")
    name = url.removeprefix(_S3)
    if not _BUCKET_MIN <= len(name) <= _BUCKET_MAX:
        raise ValueError(
            f"{name!r} has {len(name)} characters, and an S3 bucket's name has {_BUCKET_MIN} to "
            f"{_BUCKET_MAX}"
        )
    return name


def _is_bucket(url: str) -> str:
    bucket_name(url)
    return url


BucketUrl = Annotated[
    str,
    Field(
        pattern=patterns.BUCKET_URL,
        json_schema_extra={
            "minLength": len(_S3) + _BUCKET_MIN,
            "maxLength": len(_S3) + _BUCKET_MAX,
        },
    ),
    AfterValidator(_is_bucket),
]
"""Such as "s3://records"; `bucket_name` reads it."""


class DataSourceSpec(ApiModel):
    """What the data's owner says of it."""

    model_config = ConfigDict(
        json_schema_extra=checked_by(
            Rule("!(has(self.claim) && has(self.bucket))", _CLAIM_AND_BUCKET)
        )
    )

    locations: Annotated[tuple[DataLocation, ...], Field(max_length=16)] = ()
    """Places, each with all of it. None, and neither claim nor bucket: bytes of it cost what the
    tables say of an unknown place."""
    claim: ClaimName | None = None
    """A PersistentVolumeClaim of the DataSource's namespace. All of the data is in each cluster of
    mode Local or Push where a claim of this name is bound; where its volume is there is read, and
    told in `status.found`. What `locations` says of a cluster counts in place of what is read."""
    bucket: BucketUrl | None = None
    """An S3 bucket that has all of the data, such as s3://records. The operator asks S3 for its
    region, which is told in `status.bucket`, and sends no credentials. `locations`, where there are
    any, count in place of that, and S3 is not asked."""
    cached: Annotated[tuple[CachedShare, ...], Field(max_length=64)] = ()
    """Copies of parts of it."""
    classification: Classification | None = None
    """How confidential it is, for people: `kubectl get mds -o wide` shows it. What binds models is
    the residency alone."""
    residency: Residency | None = None
    """Where it may be read; unset: anywhere."""
    applies_to: AppliesTo = AppliesTo.NAMESPACE
    """Which models the residency binds."""

    @model_validator(mode="after")
    def _is_in_one_thing(self) -> "DataSourceSpec":
        if self.claim is not None and self.bucket is not None:
            raise ValueError(_CLAIM_AND_BUCKET)
        return self


class ReadFrom(StrEnum):
    """What said where a volume is."""

    VOLUME = "Volume"
    """The node affinity of the PersistentVolume; by a node's labels where it names a node."""
    STORAGE_CLASS = "StorageClass"
    """The allowed topologies of the volume's StorageClass: the volume has no node affinity."""
    CLUSTER = "Cluster"
    """Neither says it, so the cluster's own location counts."""


class FoundClaim(ApiModel):
    """A bound claim in a cluster."""

    cluster: Name
    """The ModelCluster."""
    region: PlaceName | None = None
    """Where its volume is; unset: nothing says it, or several are said."""
    zone: PlaceName | None = None
    """The zone; unset: nothing says it, or several are said."""
    size: Annotated[str, Field(max_length=32)] | None = None
    """The claim's capacity."""
    read_from: ReadFrom
    """What said it."""


class FoundBucket(ApiModel):
    """A bucket of which the region is known."""

    url: BucketUrl
    """The bucket that was asked for."""
    provider: PlaceName
    """Whose region it is: aws."""
    region: PlaceName
    """The region that S3 told."""


class DataSourceStatus(ApiModel):
    """What was read of where the data is; empty without `spec.claim` and `spec.bucket`."""

    observed_generation: int = 0
    """The generation of the spec that this status speaks of."""
    conditions: Annotated[
        tuple[Condition, ...], Field(max_length=16, json_schema_extra=keyed_by("type"))
    ] = ()
    """The facts, by type."""
    claim: Annotated[str, Field(max_length=253)] | None = None
    """The claim that was looked for."""
    found: Annotated[tuple[FoundClaim, ...], Field(json_schema_extra=keyed_by("cluster"))] = ()
    """Where it is bound. A cluster that does not answer keeps what was found there."""
    bucket: FoundBucket | None = None
    """Where the bucket is; unset: S3 never told it. It stays while S3 does not answer."""


class DataSource(ApiModel):
    """Data that models read. Its owner and a model's author can be two people."""

    api_version: Literal["smallmodel.dev/v1alpha1"] = API_VERSION
    kind: Literal["DataSource"] = "DataSource"
    metadata: ObjectMeta
    spec: DataSourceSpec = DataSourceSpec()
    status: DataSourceStatus = DataSourceStatus()
