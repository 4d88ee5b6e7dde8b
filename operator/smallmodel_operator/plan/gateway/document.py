"""Envoy's messages as values, and their one canonical text."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import yaml

from smallmodel_operator.api.names import short_hash
from smallmodel_operator.plan.gateway.values import DiscoveryFile


@dataclass(frozen=True, slots=True)
class Written:
    """Messages of a list whose text is known already, which `discovery_json` puts in their place.

    Of thousands of models a change concerns few: what the others need is not written again.
    """

    text: str
    """JSON of one of them, or of several with commas between them."""


Json = None | bool | int | float | str | Written | Sequence["Json"] | Mapping[str, "Json"]
"""What protobuf's JSON form is made of."""
Message = dict[str, Json]
"""One Envoy message. Its shape is Envoy's; `envoy --mode validate` checks it."""

KEPT: Final = 4096
"""Of how many models what is written is kept, by each who does: some KB of each."""

_TYPE_PREFIX: Final = "type.googleapis.com/"
_MARK: Final = "\ue000"
"""A character of nobody's: with a number, the whole string stands for a text known already."""
_MARKED: Final = re.compile(r'"\\ue000(\d+)"')


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
    text = _compact(resources)
    version = short_hash(text)
    return DiscoveryFile(
        text=f'{{"resources":{text},"version_info":"{version}"}}\n', version=version
    )


def written(messages: Sequence[Message]) -> Written:
    """Return messages, of which there is at least one, as text for `discovery_json`."""
    return Written(_compact(messages)[1:-1])


def _compact(messages: Sequence[Message]) -> str:
    known = list[str]()

    def mark(one: Written) -> str:
        known.append(one.text)
        return f"{_MARK}{len(known) - 1}"

    text = json.dumps(messages, sort_keys=True, separators=(",", ":"), default=mark)
    return _MARKED.sub(lambda found: known[int(found[1])], text) if known else text


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
