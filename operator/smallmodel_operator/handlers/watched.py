"""What the operator is told of on its hub."""

from typing import Final

from smallmodel_operator.clusters.ref import (
    DATASOURCES,
    JOBS,
    MODELCARDS,
    MODELCLUSTERS,
    MODELPLACEMENTS,
    NAMESPACES,
    PODS,
    RAYSERVICES,
    SMALLMODELS,
)

WATCHED: Final = (
    NAMESPACES,
    MODELCARDS,
    MODELCLUSTERS,
    DATASOURCES,
    SMALLMODELS,
    MODELPLACEMENTS,
    RAYSERVICES,
    JOBS,
    PODS,
)
"""In the order in which they are listed: what is decided on comes before what is decided."""
