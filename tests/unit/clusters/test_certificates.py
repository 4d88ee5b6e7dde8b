"""Certificates of gateways: who may sign them, when they are renewed, and what is damaged."""

import datetime
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from smallmodel_operator.clusters.certificates import (
    CertificateUnreadable,
    Pair,
    ends_at,
    make_authority,
    make_leaf,
    why_renew,
)

NOW = datetime.datetime(2026, 11, 29, tzinfo=datetime.UTC)
IDENTITY = "munich.hub-1.gateway.smallmodel.dev"
AUTHORITY = make_authority("hub-1", NOW)
LEAF = make_leaf(AUTHORITY, IDENTITY, NOW)


def rsa_key() -> bytes:
    return rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def test_a_leaf_names_its_gateway_and_signs_nothing() -> None:
    leaf = x509.load_pem_x509_certificate(LEAF.certificate)

    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.critical
    assert names.value.get_values_for_type(x509.DNSName) == [IDENTITY]
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert leaf.not_valid_before_utc < NOW, "clocks of clusters differ"
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(AUTHORITY.certificate))


def test_an_authority_signs_no_other_authority() -> None:
    made = x509.load_pem_x509_certificate(AUTHORITY.certificate)
    constraints = made.extensions.get_extension_for_class(x509.BasicConstraints).value

    assert (constraints.ca, constraints.path_length) == (True, 0)
    assert ends_at(AUTHORITY) - NOW > datetime.timedelta(days=3649)


@pytest.mark.parametrize(
    ("days", "why"), [(0, None), (59, None), (60, "it ends at 2027-02-27"), (200, "it ends at")]
)
def test_a_leaf_is_renewed_a_month_before_it_ends(days: int, why: str | None) -> None:
    found = why_renew(LEAF, AUTHORITY, IDENTITY, NOW + datetime.timedelta(days=days))

    assert found is None if why is None else (found or "").startswith(why)


OTHERS: dict[str, tuple[Pair, str]] = {
    "of another name": (make_leaf(AUTHORITY, "paris.hub-1.x", NOW), "it has another name"),
    "of another authority": (
        make_leaf(make_authority("hub-1", NOW), IDENTITY, NOW),
        "another authority signed it",
    ),
    "that is empty": (Pair(certificate=b"", key=b""), "it cannot be read"),
    "with another key": (
        replace(LEAF, key=make_leaf(AUTHORITY, IDENTITY, NOW).key),
        "it cannot be read: the key is not that of the certificate",
    ),
    "with a key of another kind": (
        replace(LEAF, key=rsa_key()),
        "it cannot be read: the key is not one of an elliptic curve",
    ),
}


@pytest.mark.parametrize("case", OTHERS)
def test_a_leaf_is_renewed_that_nobody_would_believe(case: str) -> None:
    leaf, why = OTHERS[case]

    assert (why_renew(leaf, AUTHORITY, IDENTITY, NOW) or "").startswith(why)


def test_a_damaged_authority_signs_nothing() -> None:
    damaged = replace(AUTHORITY, certificate=AUTHORITY.certificate[:200])

    with pytest.raises(CertificateUnreadable):
        make_leaf(damaged, IDENTITY, NOW)
    with pytest.raises(CertificateUnreadable):
        why_renew(LEAF, damaged, IDENTITY, NOW)
