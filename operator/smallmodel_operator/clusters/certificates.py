"""Certificates of gateways: one authority for the installation, one leaf for each cluster.

Keys are on the curve P-256, which is quick to make and known to every TLS.
"""

import datetime
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFE: Final = datetime.timedelta(days=3650)
LEAF_LIFE: Final = datetime.timedelta(days=90)
RENEWED_BEFORE: Final = datetime.timedelta(days=30)
"""A cluster that is cut off for less than this has a certificate all the time."""

_EARLIER: Final = datetime.timedelta(hours=1)
"""Clocks of clusters differ."""


class CertificateUnreadable(ValueError):
    """What should be a certificate with its key is none, or the two do not belong together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A certificate and its key, as PEM."""

    certificate: bytes
    key: bytes


def make_authority(hub_id: str, now: datetime.datetime) -> Pair:
    """Return a new authority, which signs leaves and no other authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"smallmodel {hub_id}"[:64])])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    made = (
        _builder(name, name, key.public_key(), now, AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    return _pem(made, key)


def make_leaf(authority: Pair, identity: str, now: datetime.datetime) -> Pair:
    """Return a new certificate of a gateway, as which it asks and as which it answers.

    Raises:
        CertificateUnreadable: The authority is damaged.
    """
    ca, ca_key = _read(authority)
    key = ec.generate_private_key(ec.SECP256R1())
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    names = x509.SubjectAlternativeName([x509.DNSName(identity)])
    made = (
        _builder(x509.Name([]), ca.subject, key.public_key(), now, LEAF_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        # Where there is no subject, the name that is there has to be understood (RFC 5280).
        .add_extension(names, critical=True)
        .add_extension(signer, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    return _pem(made, key)


def ends_at(pair: Pair) -> datetime.datetime:
    """Return when a certificate ends.

    Raises:
        CertificateUnreadable: It is damaged.
    """
    return _read(pair)[0].not_valid_after_utc


def why_renew(leaf: Pair, authority: Pair, identity: str, now: datetime.datetime) -> str | None:
    """Return why a gateway's certificate has to be made anew; None where it is good.

    Raises:
        CertificateUnreadable: The authority is damaged.
    """
    ca, _ = _read(authority)
    try:
        found, _ = _read(leaf)
        found.verify_directly_issued_by(ca)
    except CertificateUnreadable as error:
        return f"it cannot be read: {error}"
    except (InvalidSignature, ValueError, TypeError):
        return "another authority signed it"
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    if names.value.get_values_for_type(x509.DNSName) != [identity]:
        return "it has another name"
    if now + RENEWED_BEFORE >= found.not_valid_after_utc:
        return f"it ends at {found.not_valid_after_utc:%Y-%m-%d}"
    return None


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime.datetime,
    life: datetime.timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + life)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> Pair:
    return Pair(
        certificate=certificate.public_bytes(serialization.Encoding.PEM),
        key=key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def _read(pair: Pair) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    try:
        certificate = x509.load_pem_x509_certificate(pair.certificate)
        key = serialization.load_pem_private_key(pair.key, password=None)
    except (ValueError, TypeError) as error:
        raise CertificateUnreadable("the certificate or its key is no PEM") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateUnreadable("the key is not one of an elliptic curve")
    if certificate.public_key() != key.public_key():
        raise CertificateUnreadable("the key is not that of the certificate")
    return certificate, key
