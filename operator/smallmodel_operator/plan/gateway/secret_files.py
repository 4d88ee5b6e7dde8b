"""The files of what a gateway shows to others and whom it believes, as Envoy discovers them.

Certificate and key are one file, so that Envoy never sees the one without the other.
"""

import json
from collections.abc import Mapping
from typing import Final

from smallmodel_operator.plan.gateway.document import Message, typed
from smallmodel_operator.plan.gateway.peers import AUTHORITY, IDENTITY

CERTIFICATE: Final = "tls.crt"
KEY: Final = "tls.key"
TRUSTED: Final = "ca.crt"
"""The entries of the Secret."""

TLS_SECRET: Final = "smallmodel-gateway-tls"  # noqa: S105 - a name
"""The Secret, in the operator's namespace of each cluster."""

_SECRET: Final = "envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105 - a type


def secret_files(entries: Mapping[str, bytes]) -> dict[str, str]:
    """Return the text of each of Envoy's files by its name.

    Args:
        entries: Those of the Secret. Where one is missing, Envoy is told of nothing, and neither
            asks other gateways nor lets them in.
    """
    if any(not entries.get(name) for name in (CERTIFICATE, KEY, TRUSTED)):
        return {_file(IDENTITY): _discovery(), _file(AUTHORITY): _discovery()}
    identity: Message = {
        "tls_certificate": {
            "certificate_chain": _inline(entries[CERTIFICATE]),
            "private_key": _inline(entries[KEY]),
        }
    }
    authority: Message = {"validation_context": {"trusted_ca": _inline(entries[TRUSTED])}}
    return {
        _file(IDENTITY): _discovery(typed(_SECRET, {"name": IDENTITY} | identity)),
        _file(AUTHORITY): _discovery(typed(_SECRET, {"name": AUTHORITY} | authority)),
    }


def _file(name: str) -> str:
    return f"{name}.json"


def _inline(text: bytes) -> Message:
    return {"inline_string": text.decode(errors="replace")}


def _discovery(*resources: Message) -> str:
    return json.dumps({"resources": resources}) + "\n"
