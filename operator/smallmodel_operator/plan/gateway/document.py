"""Envoy's messages as values, and their one canonical text."""

import json
from collections.abc import Mapping, Sequence
from typing import Final

import yaml

from smallmodel_operator.api.names import short_hash
from smallmodel_operator.plan.gateway.values import DiscoveryFile

Json = None | bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"]
"""What protobuf's JSON form is made of."""
Message = dict[str, Json]
"""One Envoy message. Its shape is Envoy's; `envoy --mode validate` checks it."""

_TYPE_PREFIX: Final = "type.googleapis.com/"


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as blocks, so that the Lua script can be read."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar(
        "tag:yaml.org,2002:str", text, style="|" if "\n" in text else None
    )


_Dumper.add_representer(str, _text)


def dump(message: Message) -> str:
    """Return the message as YAML with sorted keys: the same message is the same text."""
    return yaml.dump(message, Dumper=_Dumper, sort_keys=True, width=100)


def typed(name: str, message: Message) -> Message:
    """Return the message as a `google.protobuf.Any` of that type."""
    return {"@type": _TYPE_PREFIX + name} | message


def discovery(resources: Sequence[Message]) -> DiscoveryFile:
    """Return the resources as Envoy reads them from a file; the version is their hash."""
    version = short_hash(json.dumps(resources, sort_keys=True))
    return DiscoveryFile(
        text=dump({"version_info": version, "resources": resources}), version=version
    )


def discovery_json(resources: Sequence[Message]) -> DiscoveryFile:
    """Return the resources as `discovery` does, but as JSON in one line.

    Envoy reads either. A thousand models are written in a tenth of a second so, and in a minute
    as YAML.
    """
    text = json.dumps(resources, sort_keys=True, separators=(",", ":"))
    version = short_hash(text)
    return DiscoveryFile(
        text=f'{{"resources":{text},"version_info":"{version}"}}\n', version=version
    )


def watched(folder: str, file: str) -> Message:
    """Return the source of what Envoy discovers in a file."""
    return {
        "resource_api_version": "V3",
        "path_config_source": {
            "path": f"{folder}/{file}",
            # Files are replaced by a rename, which only a watch of the folder sees.
            "watched_directory": {"path": folder},
        },
    }


def duration(seconds: float) -> str:
    """Return seconds as protobuf's JSON writes a duration: `300s`, `0.25s`."""
    return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"
