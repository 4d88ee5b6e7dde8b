"""A kubeconfig that somebody put into a Secret, read in memory and with suspicion.

Whoever may write the Secret must not gain more by it than the operator's calls to that address: no
program is run, no file of the operator's is read, and no proxy sees the calls. No text of an error
holds what the Secret holds.
"""

import base64
import binascii
import os
import re
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlsplit

import yaml

from smallmodel_operator.clusters import errors

_FLATTEN: Final = (
    "write one that stands alone, for example by "
    "`kubectl config view --minify --flatten`, or use `slm cluster join`"
)
_ACCOUNT: Final = "give a token of a ServiceAccount, as `slm cluster join` does"
_REFUSED: Final[Mapping[str, tuple[str, str | None]]] = {
    "exec": ("a program would run in the operator", _ACCOUNT),
    "auth-provider": ("a program would run in the operator", _ACCOUNT),
    "certificate-authority": ("a path would read the operator's own files", None),
    "client-certificate": ("a path would read the operator's own files", None),
    "client-key": ("a path would read the operator's own files", None),
    "tokenFile": ("a path would read the operator's own files", None),
    "insecure-skip-tls-verify": (
        "anybody on the way could answer in the cluster's place",
        "give certificate-authority-data",
    ),
    "proxy-url": ("the proxy would see the calls", "give an address that is reached directly"),
    "username": ("API servers take no passwords", _ACCOUNT),
    "password": ("API servers take no passwords", _ACCOUNT),
    "as": ("the operator acts for itself", _ACCOUNT),
    "as-uid": ("the operator acts for itself", _ACCOUNT),
    "as-groups": ("the operator acts for itself", _ACCOUNT),
    "as-user-extra": ("the operator acts for itself", _ACCOUNT),
    "extensions": ("nothing here reads them", "leave them out"),
}
_TOP: Final = frozenset(
    {"apiVersion", "kind", "preferences", "current-context", "contexts", "clusters", "users"}
)
_CONTEXT: Final = frozenset({"cluster", "user", "namespace"})
_CLUSTER: Final = frozenset(
    {"server", "certificate-authority-data", "tls-server-name", "disable-compression"}
)
_USER: Final = frozenset({"token", "client-certificate-data", "client-key-data"})
_TOKEN: Final = re.compile(r"[!-~]+")


class KubeconfigRefused(errors.NoConnection):
    """The kubeconfig is none, or asks for more than it may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """How to reach an API server, with everything in memory."""

    server: str
    authority: str | None = None
    """Certificates as PEM; None: those that the machine trusts."""
    server_name: str | None = None
    """The name in the server's certificate, where it is not that of the address."""
    token: str | None = field(default=None, repr=False)
    certificate: bytes | None = field(default=None, repr=False)
    """As PEM, with `key`."""
    key: bytes | None = field(default=None, repr=False)


def read_kubeconfig(content: bytes, source: str) -> Credentials:
    """Return what the current context of a kubeconfig says.

    Args:
        content: The file.
        source: Where it is from, for messages, fit to begin a sentence.

    Raises:
        KubeconfigRefused: It is no kubeconfig, is not whole, or asks for more than it may.
    """
    return _Reader(source).read(content)


class KubeconfigReader:
    """Reads one kubeconfig again and again, and checks it anew only where it is another."""

    def __init__(self) -> None:
        self._content: bytes | None = None
        self._said: Credentials | str = ""
        """What the content says, or why it is refused."""

    def read(self, content: bytes, source: str) -> Credentials:
        """Return what `read_kubeconfig` does.

        Raises:
            KubeconfigRefused: As there.
        """
        if content != self._content:
            try:
                self._said = read_kubeconfig(content, source)
            except KubeconfigRefused as error:
                self._said = str(error)
            self._content = content
        if isinstance(self._said, str):
            raise KubeconfigRefused(self._said)
        return self._said


def read_cluster(given: Mapping[str, Any], source: str, instead: str) -> Credentials:
    """Return what the cluster's part of a kubeconfig says: where, but not who.

    Args:
        given: That part, as other objects have it too.
        source: As above.
        instead: What to do about a field that is wrong or refused.

    Raises:
        KubeconfigRefused: It is not whole, or asks for more than it may.
    """
    return _Reader(source, instead).read_cluster(given, "")


@contextmanager
def certificate_files(credentials: Credentials) -> Iterator[tuple[str, str] | None]:
    """Give paths of the client certificate and its key while the block runs; None: there is none.

    TLS is given certificates by path alone. These lead into memory, never to a disk.
    """
    if credentials.certificate is None or credentials.key is None:
        yield None
        return
    with ExitStack() as stack:
        certificate = stack.enter_context(_in_memory("certificate", credentials.certificate))
        yield certificate, stack.enter_context(_in_memory("key", credentials.key))


@contextmanager
def _in_memory(name: str, content: bytes) -> Iterator[str]:
    descriptor = os.memfd_create(name)
    try:
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


class _Reader:
    """One reading, whose errors say where the kubeconfig is from."""

    def __init__(self, source: str, instead: str = _FLATTEN) -> None:
        self._source = source
        self._instead = instead

    def read(self, content: bytes) -> Credentials:
        """Return the credentials."""
        config = self._parsed(content)
        self._only(config, _TOP, "")
        name = config.get("current-context")
        if not isinstance(name, str) or not name:
            raise self._refused(f"has no current-context, and that one alone is used; {_FLATTEN}")
        # What is not used could still be a credential for somewhere else.
        context = self._single(config, "contexts", "context", name)
        self._only(context, _CONTEXT, "contexts[0].context.")
        cluster = self._single(config, "clusters", "cluster", context.get("cluster"))
        where = self.read_cluster(cluster, "clusters[0].cluster.")
        user = self._single(config, "users", "user", context.get("user"))
        self._only(user, _USER, "users[0].user.")
        certificate, key = self._client_certificate(user)
        token = self._token(user, certified=certificate is not None)
        return replace(where, token=token, certificate=certificate, key=key)

    def read_cluster(self, cluster: Mapping[str, Any], place: str) -> Credentials:
        """Return where it is, and nothing of who calls."""
        self._only(cluster, _CLUSTER, place)
        return Credentials(
            server=self._server(cluster),
            authority=self._authority(cluster),
            server_name=self._text(cluster, "tls-server-name"),
        )

    def _parsed(self, content: bytes) -> Mapping[str, Any]:
        try:
            config = yaml.safe_load(content)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            where = f" (line {mark.line + 1})" if mark else ""
            # The parser's own words quote the file.
            raise self._refused(f"is not valid YAML{where}; {_FLATTEN}") from None
        except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
            raise self._refused(f"is not valid YAML; {_FLATTEN}") from None
        if not isinstance(config, dict) or config.get("kind", "Config") != "Config":
            raise self._refused(f"is not a kubeconfig (an object of kind Config); {_FLATTEN}")
        return config

    def _only(self, given: Mapping[str, Any], known: frozenset[str], place: str) -> None:
        """Refuse fields that are dangerous, or whose meaning is not known here."""
        for name in given:
            if name in _REFUSED:
                why, instead = _REFUSED[name]
                raise self._refused(
                    f"has {place}{name}, which is refused: {why}; {instead or self._instead}"
                )
        if given.keys() - known:
            # Its name is not told: it may be what should have been kept secret.
            raise self._refused(
                f"has a field that is not needed and refused; allowed are "
                f"{', '.join(f'{place}{name}' for name in sorted(known))}"
            )

    def _single(
        self, config: Mapping[str, Any], plural: str, singular: str, name: object
    ) -> Mapping[str, Any]:
        entries = config.get(plural)
        if not isinstance(entries, Sequence) or isinstance(entries, str) or len(entries) != 1:
            count = len(entries) if isinstance(entries, list) else "no"
            raise self._refused(
                f"has {count} {plural}, and only one is needed: that of the current context; "
                f"{_FLATTEN}"
            )
        entry = entries[0]
        value = entry.get(singular) if isinstance(entry, dict) else None
        if (
            not isinstance(value, dict)
            or entry.get("name") != name
            or entry.keys()
            - {
                "name",
                singular,
            }
        ):
            raise self._refused(
                f"has {plural}[0] that is not the {singular} of the current context; {_FLATTEN}"
            )
        return value

    def _server(self, cluster: Mapping[str, Any]) -> str:
        server = self._text(cluster, "server") or ""
        try:
            parts = urlsplit(server)
            usable = parts.scheme == "https" and bool(parts.hostname)
            usable = usable and not (parts.query or parts.fragment or parts.username)
            usable = usable and (parts.port is None or parts.port > 0)
        except ValueError:
            usable = False
        if not usable:
            raise self._refused(
                "has a server that is not https://HOST[:PORT][/PATH], so credentials would be read "
                "on the way or go nowhere; write the API server's address"
            )
        return server.rstrip("/")

    def _authority(self, cluster: Mapping[str, Any]) -> str | None:
        content = self._decoded(cluster, "certificate-authority-data")
        if content is None:
            return None
        try:
            text = content.decode("ascii")
            ssl.create_default_context(cadata=text)
        except (UnicodeDecodeError, ssl.SSLError):
            raise self._refused(
                f"has certificate-authority-data without a certificate as PEM; {self._instead}"
            ) from None
        return text

    def _client_certificate(self, user: Mapping[str, Any]) -> tuple[bytes | None, bytes | None]:
        certificate = self._decoded(user, "client-certificate-data")
        key = self._decoded(user, "client-key-data")
        if (certificate is None) != (key is None):
            raise self._refused(
                "has only one of client-certificate-data and client-key-data, which belong "
                f"together; {_FLATTEN}"
            )
        if certificate is not None:
            given = Credentials(server="", certificate=certificate, key=key)
            try:
                with certificate_files(given) as paths:
                    assert paths is not None  # noqa: S101 - both are given
                    # Without a password: a key that needs one is refused, and nobody is asked.
                    # Nor are the machine's authorities read, which takes long.
                    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(*paths, password="")
            except (ssl.SSLError, ValueError):
                raise self._refused(
                    "has client-certificate-data and client-key-data that are no pair of a "
                    f"certificate and its open key as PEM; {_FLATTEN}"
                ) from None
        return certificate, key

    def _token(self, user: Mapping[str, Any], *, certified: bool) -> str | None:
        token = self._text(user, "token")
        if token is None and not certified:
            raise self._refused(
                f"has neither a token nor a client certificate for its user; {_ACCOUNT}"
            )
        if token is not None and not _TOKEN.fullmatch(token):
            raise self._refused(
                "has a token with spaces, line breaks or other characters that no token has; "
                "write it on one line"
            )
        return token

    def _decoded(self, given: Mapping[str, Any], name: str) -> bytes | None:
        text = self._text(given, name)
        if text is None:
            return None
        try:
            return base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError):
            raise self._refused(f"has {name} that is not base64; {self._instead}") from None

    def _text(self, given: Mapping[str, Any], name: str) -> str | None:
        value = given.get(name)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise self._refused(f"has {name} that is not a text; {self._instead}")
        return value

    def _refused(self, what: str) -> KubeconfigRefused:
        return KubeconfigRefused(f"{self._source} {what}")
