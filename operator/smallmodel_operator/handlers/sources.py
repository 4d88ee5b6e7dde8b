"""DataSources as they come in, and what the models of a namespace are placed among."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from smallmodel_operator.api.datasource import DataSource
from smallmodel_operator.api.meta import ObjectMeta
from smallmodel_operator.api.modelcluster import ModelCluster
from smallmodel_operator.placement.choice.tables import SHIPPED, Tables
from smallmodel_operator.placement.choice.wish import USUAL, Policy
from smallmodel_operator.placement.declared import Around, facts_of

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadSource:
    """A DataSource that breaks a rule only this program knows: whom it binds is not known."""

    metadata: ObjectMeta


@dataclass(frozen=True, slots=True, kw_only=True)
class Scales:
    """How the installation weighs clusters."""

    policy: Policy = USUAL
    tables: Tables = SHIPPED
    """For what is not declared."""


def read_source(manifest: dict[str, Any]) -> DataSource | UnreadSource:
    """Return a DataSource, or what is known of one that cannot be read."""
    try:
        return DataSource.model_validate(manifest)
    except ValidationError as error:
        metadata = ObjectMeta.model_validate(manifest["metadata"])
        _LOG.warning(
            "DataSource %s/%s cannot be read: %s", metadata.namespace, metadata.name, error
        )
        return UnreadSource(metadata=metadata)


def around_of(
    declared: Iterable[ModelCluster],
    there: Iterable[DataSource | UnreadSource],
    scales: Scales,
    now: str,
) -> Around:
    """Return what models of a namespace are placed among.

    Args:
        declared: The clusters, by name.
        there: The namespace's data, by name.
        scales: How clusters are weighed.
        now: RFC 3339 time.
    """
    known = list(there)
    sources = tuple(one for one in known if isinstance(one, DataSource))
    return Around(
        clusters=tuple(facts_of(one, sources, now) for one in declared),
        sources=sources,
        unread_sources=tuple(one.metadata.name for one in known if isinstance(one, UnreadSource)),
        policy=scales.policy,
        tables=scales.tables,
    )
