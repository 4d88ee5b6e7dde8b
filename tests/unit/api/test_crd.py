"""The CRDs are structural schemas that refuse what the models refuse."""

import json
import re
from collections.abc import Iterator

import jsonschema
import pytest
from cel_expr_python import cel
from pydantic import BaseModel, ValidationError

from builders.admission import ACCEPTED, REFUSED
from builders.fake_api_server import fake_admit
from builders.yaml_objects import YamlObject
from smallmodel_operator.api import crd
from smallmodel_operator.api.base import ApiModel
from smallmodel_operator.api.crd import Kind, Schema

every_kind = pytest.mark.parametrize("kind", crd.KINDS, ids=lambda kind: kind.name)
KIND_BY_NAME = {kind.name: kind for kind in crd.KINDS}

_PRESERVES = "x-kubernetes-preserve-unknown-fields"
KNOWN_KEYWORDS = {
    "additionalProperties", "anyOf", "default", "description", "enum", "format", "items",
    "maxItems", "maxLength", "maxProperties", "maximum", "minItems", "minLength", "minimum",
    "pattern", "properties", "required", "type", "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys", "x-kubernetes-list-type", "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-validations",
}  # fmt: skip


def nodes(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every schema inside a schema, with its path."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from nodes(schema[key], f"{path}[]")


def faults(path: str, node: Schema) -> Iterator[str]:
    """What Kubernetes would refuse in one node of a structural schema."""
    if unknown := set(node) - KNOWN_KEYWORDS:
        yield f"{path}: keywords {unknown}"
    if ("type" in node) == ("x-kubernetes-int-or-string" in node):
        yield f"{path}: needs one of type and int-or-string"
    if _PRESERVES in node and (node.get("type") != "object" or "properties" in node):
        yield f"{path}: preserves what it does not know, beside what it knows"
    if "properties" in node and "additionalProperties" in node:
        yield f"{path}: properties beside additionalProperties"
    if node.get("type") == "array" and "items" not in node:
        yield f"{path}: a list without items"
    if node.get("x-kubernetes-list-type") == "map":
        keys = node["x-kubernetes-list-map-keys"]
        if not set(keys) <= set(node["items"].get("required", ())):
            yield f"{path}: its keys {keys} are not required"
    if "default" in node and not jsonschema.Draft7Validator(node).is_valid(node["default"]):
        yield f"{path}: its default {node['default']!r} is refused"


@every_kind
def test_the_schema_is_structural(kind: Kind) -> None:
    schema = crd.structural_schema(kind.model)
    assert [fault for path, node in nodes(schema) for fault in faults(path, node)] == []


@every_kind
def test_every_field_is_described(kind: Kind) -> None:
    schema = crd.structural_schema(kind.model)
    fields = [(path, node) for path, node in nodes(schema) if not path.endswith("[]")]
    # Of metadata the API server takes nothing but its type, and a few limits.
    undescribed = [path for path, node in fields if not node.get("description")]
    assert undescribed == [".metadata"]


@every_kind
def test_no_field_is_described_by_its_type_alone(kind: Kind) -> None:
    """Two fields of one object with the same words were not described."""
    for _, node in nodes(crd.structural_schema(kind.model)):
        children = node.get("properties", {}).values()
        texts = [child["description"] for child in children if "description" in child]
        assert sorted(set(texts)) == sorted(texts)


@every_kind
def test_the_whole_definition_stays_below_64_kilobytes(kind: Kind) -> None:
    assert len(json.dumps(crd.build(kind))) < 64 * 1024


def found_by(path: str, schema: Schema) -> Schema:
    """The schema of what a column's path leads to; `[...]` goes into the items of a list."""
    node = schema
    for part in re.findall(r"\[[^]]*\]|[^.\[]+", path):
        node = node["items"] if part.startswith("[") else node["properties"][part]
    return node


@every_kind
def test_columns_show_fields_that_exist(kind: Kind) -> None:
    schema = crd.structural_schema(kind.model)
    columns = [column for column in kind.columns if not column.path.startswith(".metadata.")]
    # A quantity is a text or a number, and is shown as text.
    assert [found_by(column.path, schema).get("type", "string") for column in columns] == [
        column.type for column in columns
    ]


@every_kind
def test_every_rule_is_valid_cel_and_has_a_message(kind: Kind) -> None:
    environment = cel.NewEnv(variables={"self": cel.Type.DYN})
    for _, node in nodes(crd.structural_schema(kind.model)):
        for rule in node.get("x-kubernetes-validations", ()):
            assert environment.compile(rule["rule"]).return_type() in (cel.Type.BOOL, cel.Type.DYN)
            assert rule["message"]
            assert "\n" not in rule["message"]


def test_a_small_model_has_a_status_of_its_own_and_a_card_has_none() -> None:
    versions = {kind.name: crd.build(kind)["spec"]["versions"][0] for kind in crd.KINDS}
    assert versions["SmallModel"]["subresources"] == {"status": {}}
    assert "subresources" not in versions["ModelCard"]


def test_names_and_scopes_are_those_that_users_type() -> None:
    specs = [crd.build(kind)["spec"] for kind in crd.KINDS]
    assert [(spec["names"]["shortNames"], spec["scope"]) for spec in specs] == [
        (["sm"], "Namespaced"),
        (["mcard"], "Cluster"),
        (["mcl"], "Cluster"),
        (["mds"], "Namespaced"),
        (["mpl"], "Namespaced"),
    ]
    assert all(spec["names"]["categories"] == [crd.CATEGORY] for spec in specs)


def test_a_category_is_not_the_name_of_a_kind() -> None:
    """`kubectl get smallmodel chat` would be refused as asking for several kinds by one name."""
    names = [crd.build(kind)["spec"]["names"] for kind in crd.KINDS]
    taken = {name for own in names for name in (own["singular"], own["plural"], *own["shortNames"])}
    assert crd.CATEGORY not in taken


@every_kind
def test_an_absent_status_says_only_that_no_generation_was_seen(kind: Kind) -> None:
    status = crd.structural_schema(kind.model)["properties"].get("status", {"properties": {}})
    defaults = {path: node["default"] for path, node in nodes(status) if "default" in node}
    has_generation = "observedGeneration" in status["properties"]
    assert defaults == ({"": {"observedGeneration": -1}} if has_generation else {})
    for unseen in defaults.values():
        assert jsonschema.Draft7Validator(status).is_valid(unseen)


def test_building_twice_gives_the_same() -> None:
    assert [crd.build(kind) for kind in crd.KINDS] == [crd.build(kind) for kind in crd.KINDS]


class Inner(ApiModel):
    """An object of a test."""

    number: int = 1
    """A number."""


class Outer(ApiModel):
    """A root of a test, with what the real kinds do not have."""

    spec: Inner | None = None
    """May be left out."""


class Undecided(ApiModel):
    """A root of a test that Kubernetes has no schema for."""

    spec: Inner | str = "a"
    """An object or a text."""


def test_a_model_that_may_be_null_is_inlined_with_its_fields_own_description() -> None:
    spec = crd.structural_schema(Outer)["properties"]["spec"]
    assert spec == {
        "description": "May be left out.",
        "type": "object",
        "properties": {"number": {"description": "A number.", "type": "integer", "default": 1}},
    }


def test_a_field_of_two_types_is_refused_when_the_crd_is_built() -> None:
    with pytest.raises(TypeError, match="An object or a text"):
        crd.structural_schema(Undecided)


def refusals(given: YamlObject) -> tuple[bool, list[str]]:
    """Whether the model refuses an object, and why the CRD does."""
    kind = KIND_BY_NAME[given["kind"]]
    return _model_refuses(kind.model, given), fake_admit(crd.structural_schema(kind.model), given)


def _model_refuses(model: type[BaseModel], given: YamlObject) -> bool:
    without_nulls = json.loads(json.dumps(given), object_hook=_without_nulls)
    try:
        model.model_validate_json(json.dumps(without_nulls), strict=True)
    except ValidationError:
        return True
    return False


def _without_nulls(mapping: YamlObject) -> YamlObject:
    return {key: value for key, value in mapping.items() if value is not None}


@pytest.mark.parametrize("case", ACCEPTED)
def test_the_model_and_the_crd_both_accept(case: str) -> None:
    assert refusals(ACCEPTED[case]) == (False, [])


@pytest.mark.parametrize("case", REFUSED)
def test_the_model_and_the_crd_both_refuse(case: str) -> None:
    model_refuses, crd_says = refusals(REFUSED[case])
    assert model_refuses
    assert crd_says != []


@every_kind
def test_each_rule_is_broken_by_a_case_of_the_table(kind: Kind) -> None:
    """A rule that no case breaks could say anything."""
    schema = crd.structural_schema(kind.model)
    said = {
        message
        for given in REFUSED.values()
        if given["kind"] == kind.name
        for message in fake_admit(schema, given)
    }
    rules = [r for _, node in nodes(schema) for r in node.get("x-kubernetes-validations", ())]
    assert [rule["message"] for rule in rules if rule["message"] not in said] == []
