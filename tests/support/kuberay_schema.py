"""KubeRay's schema of a RayService, recorded as far as this project uses it.

Every field beside those that are used is kept by its name alone, so that a field that KubeRay does
not know is still told from one that is merely unused. To record a version, from the repository's
root and with its CRD at hand:

    PYTHONPATH=operator:tests python -m support.kuberay_schema 1.6.2 ray.io_rayservices.yaml
"""

import json
import sys
from pathlib import Path
from typing import Any, Final

import yaml

Schema = dict[str, Any]

RECORDED: Final = Path(__file__).parent.parent / "contract" / "recorded"
GOLDEN: Final = Path(__file__).parent.parent / "golden" / "plan" / "pools"
VERSIONS: Final = ("1.6.2", "1.7.0")
_UNUSED: Final = ("description", "default", "format")


def recorded(version: str) -> Schema:
    """The schema of `ray.io/v1` in a version of KubeRay; unknown fields are refused."""
    text = (RECORDED / f"kuberay-{version}-rayservice.json").read_text(encoding="utf-8")
    schema: Schema = json.loads(text)
    return schema


def ray_services() -> dict[str, dict[str, Any]]:
    """Every RayService among the golden files, by file."""
    found = {}
    for path in sorted(GOLDEN.glob("rayservice-*.yaml")):
        (found[path.stem],) = yaml.safe_load_all(path.read_text(encoding="utf-8"))
    return found


def reduced(schema: Schema, values: list[Any]) -> Schema:
    """The part of a schema that decides on these values and on misspelt fields beside them."""
    kept = {name: value for name, value in schema.items() if name not in _UNUSED}
    if "properties" in schema:
        objects = [value for value in values if isinstance(value, dict)]
        kept["additionalProperties"] = False
        kept["properties"] = {
            name: reduced(child, [each[name] for each in objects if name in each])
            if any(name in each for each in objects)
            else {}
            for name, child in sorted(schema["properties"].items())
        }
    if "items" in schema:
        items = [item for value in values if isinstance(value, list) for item in value]
        kept["items"] = reduced(schema["items"], items)
    return kept


def record(version: str, definition: Path) -> None:
    """Write down the schema of one version."""
    document = yaml.safe_load(definition.read_text(encoding="utf-8"))
    (schema,) = [
        each["schema"]["openAPIV3Schema"]
        for each in document["spec"]["versions"]
        if each["name"] == "v1"
    ]
    # The API server checks metadata itself.
    whole = reduced(schema, list(ray_services().values()))
    whole["properties"]["metadata"] = {"type": "object"}
    RECORDED.mkdir(exist_ok=True)
    path = RECORDED / f"kuberay-{version}-rayservice.json"
    path.write_text(json.dumps(whole, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    record(sys.argv[1], Path(sys.argv[2]))
