"""CustomResourceDefinitions, made from the models.

What pydantic calls a JSON schema is not what Kubernetes calls a structural schema; this module is
the difference. Values only: `tools/generate.py` writes them to `crds/`, `slm crd` prints them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from smallmodel_operator.api.datasource import DataSource
from smallmodel_operator.api.modelcard import ModelCard
from smallmodel_operator.api.modelcluster import ModelCluster
from smallmodel_operator.api.modelplacement import ModelPlacement
from smallmodel_operator.api.names import GROUP, VERSION
from smallmodel_operator.api.smallmodel import SmallModel

# A JSON schema has no narrower type.
Schema = dict[str, Any]

_NO_MEANING_IN_KUBERNETES: Final = {"title", "$defs", "discriminator", "examples"}
_INT_OR_STRING: Final = "x-kubernetes-int-or-string"
_OBSERVED_GENERATION: Final = "observedGeneration"
_NO_GENERATION: Final = -1
_LIST_TYPE: Final = "x-kubernetes-list-type"
CATEGORY: Final = "slm"
"""`kubectl get slm` lists all of ours. A kind's own name may not be one: `kubectl get NAME` is then
taken for all kinds of the category."""
_RULES: Final = "x-kubernetes-validations"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of `kubectl get`."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0
    """1: shown with `-o wide` only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of the group."""

    model: type[BaseModel]
    plural: str
    short_name: str
    scope: str
    columns: tuple[Column, ...]

    @property
    def name(self) -> str:
        """The kind, for example SmallModel."""
        return self.model.__name__

    @property
    def crd_name(self) -> str:
        """The name of its CustomResourceDefinition."""
        return f"{self.plural}.{GROUP}"


def _condition(kind: str, part: str) -> str:
    return f'.status.conditions[?(@.type=="{kind}")].{part}'


def _ready(part: str) -> str:
    return _condition("Ready", part)


KINDS: Final = (
    Kind(
        model=SmallModel,
        plural="smallmodels",
        short_name="sm",
        scope="Namespaced",
        columns=(
            Column(name="Model", path=".spec.model"),
            Column(name="Engine", path=".status.engine"),
            Column(name="Variant", path=".status.variant", priority=1),
            Column(name="Cluster", path=".status.copies[*].cluster"),
            Column(name="Replicas", path=".status.replicas", type="integer"),
            Column(name="Ready", path=_ready("status")),
            Column(name="Reason", path=_ready("reason"), priority=1),
            Column(name="URL", path=".status.url", priority=1),
            Column(name="Age", path=".metadata.creationTimestamp", type="date"),
        ),
    ),
    Kind(
        model=ModelCard,
        plural="modelcards",
        short_name="mcard",
        scope="Cluster",
        columns=(
            Column(name="Task", path=".spec.task"),
            Column(name="Parameters", path=".spec.architecture.parameters", type="integer"),
            Column(name="Licence", path=".spec.license.id"),
            Column(name="Context", path=".spec.contextLength", type="integer"),
            Column(name="Evidence", path=".spec.evidence"),
        ),
    ),
    Kind(
        model=ModelCluster,
        plural="modelclusters",
        short_name="mcl",
        scope="Cluster",
        columns=(
            Column(name="Connection", path=".spec.connection.mode"),
            Column(name="Link", path=".status.link.state"),
            Column(name="Tier", path=".spec.tier", priority=1),
            Column(name="Jurisdiction", path=".spec.jurisdiction", priority=1),
            Column(name="Nodes", path=".status.nodes", type="integer"),
            Column(name="CPU", path=".status.cpu"),
            Column(name="Memory", path=".status.memory"),
            Column(name="KubeRay", path=".status.kubeRayVersion"),
            Column(name="Ready", path=_ready("status")),
            Column(name="Reason", path=_ready("reason"), priority=1),
        ),
    ),
    Kind(
        model=DataSource,
        plural="datasources",
        short_name="mds",
        scope="Namespaced",
        columns=(
            Column(name="Jurisdictions", path=".spec.residency.jurisdictions[*]"),
            Column(name="Enforcement", path=".spec.residency.enforcement"),
            Column(name="Applies to", path=".spec.appliesTo"),
            Column(name="Classification", path=".spec.classification", priority=1),
            Column(name="Size", path=".spec.locations[*].size", priority=1),
            Column(name="Claim", path=".spec.claim", priority=1),
            Column(name="Bucket", path=".spec.bucket", priority=1),
            Column(name="Found in", path=".status.found[*].cluster"),
            Column(name="Region", path=".status.bucket.region", priority=1),
            Column(name="Located", path=_condition("Located", "status"), priority=1),
            Column(name="Age", path=".metadata.creationTimestamp", type="date"),
        ),
    ),
    Kind(
        model=ModelPlacement,
        plural="modelplacements",
        short_name="mpl",
        scope="Namespaced",
        columns=(
            Column(name="Namespace", path=".spec.model.namespace"),
            Column(name="Model", path=".spec.model.name"),
            Column(name="Variant", path=".spec.variant"),
            Column(name="Pool", path=".status.pool"),
            Column(name="Replicas", path=".status.deployment.replicas", type="integer"),
            Column(name="Ready", path=_ready("status")),
            Column(name="Reason", path=_ready("reason"), priority=1),
        ),
    ),
)


def build(kind: Kind) -> Schema:
    """Return the CustomResourceDefinition of a kind."""
    root = structural_schema(kind.model)
    version: Schema = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": [_column(column) for column in kind.columns],
        "schema": {"openAPIV3Schema": root},
    }
    if "status" in root["properties"]:
        version["subresources"] = {"status": {}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.crd_name},
        "spec": {
            "group": GROUP,
            "scope": kind.scope,
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                "shortNames": [kind.short_name],
                "categories": [CATEGORY],
            },
            "versions": [version],
        },
    }


def structural_schema(model: type[BaseModel]) -> Schema:
    """Return the schema of a whole object, by the rules of apiextensions/v1.

    https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema

    Raises:
        TypeError: A field is a union of two types, for which Kubernetes has no schema.
    """
    raw = model.model_json_schema(by_alias=True)
    root = _structural(raw, raw.get("$defs", {}))
    # The API server checks these three itself, and refuses schemas that want more of them.
    root["properties"]["apiVersion"] = {
        "type": "string",
        "description": "The group and version of this object.",
    }
    root["properties"]["kind"] = {"type": "string", "description": "The kind of this object."}
    # Not even a description may stand here.
    root["properties"]["metadata"] = {"type": "object"}
    root["required"] = ["spec"]
    if "status" in root["properties"]:
        root["properties"]["status"] = _unobserved(root["properties"]["status"])
    return root


def _column(column: Column) -> Schema:
    made: Schema = {"name": column.name, "type": column.type, "jsonPath": column.path}
    if column.priority:
        made["priority"] = column.priority
    return made


def _structural(node: Schema, definitions: Mapping[str, Schema]) -> Schema:
    node = _or_null_collapsed(_inlined(node, definitions), definitions)
    made = {key: value for key, value in node.items() if key not in _NO_MEANING_IN_KUBERNETES}
    if made.get("default", "") is None:
        del made["default"]
    if "const" in made:
        made["enum"] = [made.pop("const")]
    if "properties" in made:
        made["properties"] = {
            name: _structural(child, definitions) for name, child in made["properties"].items()
        }
        # Unknown fields are pruned by the server, and may not be forbidden beside `properties`.
        made.pop("additionalProperties", None)
        if "default" in made:
            made["default"] = _default_of(made)
    elif isinstance(made.get("additionalProperties"), dict):
        made["additionalProperties"] = _structural(made["additionalProperties"], definitions)
    if "items" in made:
        made["items"] = _structural(made["items"], definitions)
        made.setdefault(_LIST_TYPE, "atomic")
    if made.get(_INT_OR_STRING):
        del made["type"]
        made["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    return {key: made[key] for key in sorted(made, key=_reading_order)}


def _default_of(node: Schema) -> Schema:
    """Return the default of an object whose fields have defaults of their own.

    An API server fills those in, but checks an object's rules on its default as it is written.
    """
    if _RULES not in node:
        return {}
    return {
        name: child["default"] for name, child in node["properties"].items() if "default" in child
    }


def _reading_order(key: str) -> tuple[int, str]:
    """Return what sorts a node's keys: what it is, then its limits, then what is inside."""
    first, last = ("description", "type", "default"), ("required", "properties", "items")
    if key in first:
        return first.index(key) - len(first), key
    return (last.index(key) + 1 if key in last else 0), key


def _inlined(node: Schema, definitions: Mapping[str, Schema]) -> Schema:
    if "$ref" not in node:
        return node
    beside = {key: value for key, value in node.items() if key != "$ref"}
    # A field's own description says more than its type's.
    return {**definitions[node["$ref"].rsplit("/", 1)[-1]], **beside}


def _or_null_collapsed(node: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """Return `X | None` as X; a field that may be null may be left out instead."""
    if "anyOf" not in node:
        return node
    choices = [choice for choice in node["anyOf"] if choice != {"type": "null"}]
    if len(choices) > 1:
        raise TypeError(f"a structural schema has no union of types: {node}")
    beside = {key: value for key, value in node.items() if key != "anyOf"}
    return {**_inlined(choices[0], definitions), **beside}


def _unobserved(status: Schema) -> Schema:
    """Return a status's schema by which what nobody has written yet is absent, not zero.

    Its generation alone has a default, one that no spec ever has: kstatus takes an object without
    any status for done, and one with a status of another generation for not yet seen.
    """
    made = _without_defaults(status)
    made["default"] = {_OBSERVED_GENERATION: _NO_GENERATION}
    return {key: made[key] for key in sorted(made, key=_reading_order)}


def _without_defaults(node: Schema) -> Schema:
    made = {key: value for key, value in node.items() if key != "default"}
    if "properties" in made:
        made["properties"] = {
            name: _without_defaults(child) for name, child in made["properties"].items()
        }
    if "items" in made:
        made["items"] = _without_defaults(made["items"])
    return made
