"""Signatures of files that are carried."""

import string

import pytest

from smallmodel_operator.clusters.signing import KeyUnreadable, SigningKey, is_signed

DATA = b"what was decided"


def test_what_one_key_signed_no_other_did() -> None:
    key, other = SigningKey.make(), SigningKey.make()
    signature = key.sign(DATA)
    assert len(signature) == 88
    assert is_signed(key.public, DATA, signature)
    assert not is_signed(other.public, DATA, signature)
    assert not is_signed(key.public, DATA + b".", signature)
    assert not is_signed(key.public, DATA, "no base64!")
    assert not is_signed(key.public, DATA, "c2hvcnQ=")
    assert not is_signed(key.public, DATA, "\ufffd")


def test_a_signature_has_one_text() -> None:
    key = SigningKey.make()
    signature = key.sign(DATA)
    letters = string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"
    # Four of the six bits of the last letter before the padding mean nothing.
    others = [f"{signature[:-3]}{letter}==" for letter in letters if letter != signature[-3]]
    assert not any(is_signed(key.public, DATA, other) for other in others)


@pytest.mark.parametrize(("text", "words"), [("c2hvcnQ=", "it has 5 bytes"), ("%", "base64")])
def test_what_is_no_key_is_told(text: str, words: str) -> None:
    with pytest.raises(KeyUnreadable, match=words):
        SigningKey(text).sign(DATA)
    with pytest.raises(KeyUnreadable, match=words):
        is_signed(text, DATA, "")
