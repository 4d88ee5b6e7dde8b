"""Certificates of gateways: who may sign them, when they are renewed, and what is damaged."""

import datetime
from dataclasses import replace
from typing import ClassVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from smallmodel_operator.clusters.certificates import (
    CertificateUnreadable,
    Pair,
    end_of,
    ends_at,
    is_for,
    make_authority,
    make_leaf,
    make_request,
    sign_request,
    why_renew,
    why_sign,
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
    found = why_renew(LEAF, AUTHORITY.certificate, IDENTITY, NOW + datetime.timedelta(days=days))

    assert found is None if why is None else (found or "").startswith(why)


OTHERS: dict[str, tuple[Pair, str]] = {
    "of another name": (make_leaf(AUTHORITY, "paris.hub-1.x", NOW), "it has another name"),
    "of another authority": (
        make_leaf(make_authority("hub-1", NOW), IDENTITY, NOW),
        "another authority signed it",
    ),
    "that is not there": (Pair(certificate=b"", key=b""), "there is none"),
    "that is damaged": (replace(LEAF, certificate=b"x"), "it cannot be read: the certificate is"),
    "without a key": (replace(LEAF, key=b""), "it cannot be read: the key is no PEM"),
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

    assert (why_renew(leaf, AUTHORITY.certificate, IDENTITY, NOW) or "").startswith(why)


def test_a_damaged_authority_signs_nothing() -> None:
    damaged = replace(AUTHORITY, certificate=AUTHORITY.certificate[:200])

    with pytest.raises(CertificateUnreadable):
        make_leaf(damaged, IDENTITY, NOW)
    with pytest.raises(CertificateUnreadable):
        why_renew(LEAF, damaged.certificate, IDENTITY, NOW)


class TestRequests:
    """A key that stays where it was made."""

    asked: ClassVar = make_request("somebody-else.hub-1.gateway.smallmodel.dev")

    def test_what_is_signed_has_the_key_of_the_request_and_the_name_that_the_hub_knows(
        self,
    ) -> None:
        signed = sign_request(AUTHORITY, self.asked.certificate, IDENTITY, NOW)

        leaf = Pair(certificate=signed, key=self.asked.key)
        assert why_renew(leaf, AUTHORITY.certificate, IDENTITY, NOW) is None
        assert is_for(signed, self.asked.certificate)
        assert end_of(signed) == ends_at(leaf)

    def test_what_is_for_another_key_is_told_apart(self) -> None:
        for other in (LEAF.certificate, b"", b"damaged"):
            assert not is_for(other, self.asked.certificate)

    @pytest.mark.parametrize(
        ("certificate", "why"),
        [
            (LEAF.certificate, None),
            (b"", "there is none"),
            (b"damaged", "it cannot be read"),
            (AUTHORITY.certificate, "it has no name"),
            (OTHERS["of another name"][0].certificate, "it has another name"),
        ],
    )
    def test_why_it_is_signed_anew(self, certificate: bytes, why: str | None) -> None:
        found = why_sign(certificate, AUTHORITY.certificate, IDENTITY, NOW)

        assert found is None if why is None else (found or "").startswith(why)

    def test_a_request_that_is_not_of_who_has_the_key_is_not_signed(self) -> None:
        lines = self.asked.certificate.decode().splitlines()
        damaged = lines[-2][:-8] + "AAAA" + lines[-2][-4:]
        forged = "\n".join([*lines[:-2], damaged, lines[-1], ""]).encode()
        key = rsa.generate_private_key(65537, 2048)
        foreign = (
            x509.CertificateSigningRequestBuilder()
            .subject_name(x509.Name([]))
            .sign(key, hashes.SHA256())
            .public_bytes(serialization.Encoding.PEM)
        )
        for bad in (b"", b"x", forged, foreign):
            with pytest.raises(CertificateUnreadable):
                sign_request(AUTHORITY, bad, IDENTITY, NOW)
