"""Signatures of files that are carried: Ed25519, with keys as 32 bytes in base64."""

import base64
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


class KeyUnreadable(Exception):
    """What is to be a key is none."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """What one side signs its files with."""

    private: str

    @classmethod
    def make(cls) -> "SigningKey":
        """Return a new one."""
        return cls(_text(Ed25519PrivateKey.generate().private_bytes_raw()))

    @property
    def public(self) -> str:
        """What the other side checks them with.

        Raises:
            KeyUnreadable: It is no key.
        """
        return _text(self._key().public_key().public_bytes_raw())

    def sign(self, data: bytes) -> str:
        """Return the signature of some bytes.

        Raises:
            KeyUnreadable: It is no key.
        """
        return _text(self._key().sign(data))

    def _key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(_raw(self.private))


def is_signed(public: str, data: bytes, signature: str) -> bool:
    """Return whether whoever has the private key signed exactly these bytes.

    Raises:
        KeyUnreadable: `public` is no key.
    """
    key = Ed25519PublicKey.from_public_bytes(_raw(public))
    try:
        raw = base64.b64decode(signature, validate=True)
        key.verify(raw, data)
    except (InvalidSignature, ValueError):
        return False
    # Several texts are the same bytes, and one of them is a signature's.
    return _text(raw) == signature


def _raw(text: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise KeyUnreadable("it is not base64") from error
    if len(raw) != 32:
        raise KeyUnreadable(f"it has {len(raw)} bytes, and a key has 32")
    return raw


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
