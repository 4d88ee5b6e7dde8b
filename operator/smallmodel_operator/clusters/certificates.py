"""Certificates of gateways: one authority for the installation, one leaf for each cluster.

Keys are on the curve P-256, which is quick to make and known to every TLS.
"""

import datetime
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
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
    key = ec.generate_private_key(ec.SECP256R1())
    return _pem(_signed(authority, key.public_key(), identity, now), key)


def make_request(identity: str) -> Pair:
    """Return a request for a certificate, and the key that it is for, which stays where it is."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.DNSName(identity)])
    made = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(names, critical=True)
        .sign(key, hashes.SHA256())
    )
    return Pair(certificate=made.public_bytes(serialization.Encoding.PEM), key=_key_pem(key))


def sign_request(authority: Pair, request: bytes, identity: str, now: datetime.datetime) -> bytes:
    """Return a certificate for the key of a request.

    Of the request nothing else counts: what the certificate says is for the authority to know.

    Raises:
        CertificateUnreadable: The authority is damaged, or the request.
    """
    made = _signed(authority, _key_of(request), identity, now)
    return made.public_bytes(serialization.Encoding.PEM)


def is_for(certificate: bytes, request: bytes) -> bool:
    """Return whether a certificate is one for the key of a request.

    Raises:
        CertificateUnreadable: The request is damaged, or not of who has the key.
    """
    wanted = _key_of(request)
    try:
        return x509.load_pem_x509_certificate(certificate).public_key() == wanted
    except ValueError:
        return False


def ends_at(pair: Pair) -> datetime.datetime:
    """Return when a certificate ends.

    Raises:
        CertificateUnreadable: It is damaged.
    """
    return _read(pair)[0].not_valid_after_utc


def end_of(certificate: bytes) -> datetime.datetime:
    """Return the same of a certificate whose key is elsewhere.

    Raises:
        CertificateUnreadable: It is damaged.
    """
    return _certificate(certificate).not_valid_after_utc


def why_renew(leaf: Pair, authority: bytes, identity: str, now: datetime.datetime) -> str | None:
    """Return why a gateway's certificate has to be made anew; None where it is good.

    Args:
        leaf: The certificate and its key.
        authority: The certificate of who signs.
        identity: The name that it has to have.
        now: The time.

    Raises:
        CertificateUnreadable: The authority is damaged.
    """
    ca = _certificate(authority)
    if not leaf.certificate:
        return "there is none"
    try:
        found, _ = _read(leaf)
    except CertificateUnreadable as error:
        return f"it cannot be read: {error}"
    return _why_not(found, ca, identity, now)


def why_sign(
    certificate: bytes, authority: bytes, identity: str, now: datetime.datetime
) -> str | None:
    """Return the same of a certificate whose key is elsewhere.

    Raises:
        CertificateUnreadable: The authority is damaged.
    """
    ca = _certificate(authority)
    if not certificate:
        return "there is none"
    try:
        return _why_not(_certificate(certificate), ca, identity, now)
    except CertificateUnreadable as error:
        return f"it cannot be read: {error}"


def _why_not(
    found: x509.Certificate, ca: x509.Certificate, identity: str, now: datetime.datetime
) -> str | None:
    try:
        found.verify_directly_issued_by(ca)
    except (InvalidSignature, ValueError, TypeError):
        return "another authority signed it"
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return "it has no name"
    if names.get_values_for_type(x509.DNSName) != [identity]:
        return "it has another name"
    if now + RENEWED_BEFORE >= found.not_valid_after_utc:
        return f"it ends at {found.not_valid_after_utc:%Y-%m-%d}"
    return None


def _signed(
    authority: Pair, key: ec.EllipticCurvePublicKey, identity: str, now: datetime.datetime
) -> x509.Certificate:
    ca, ca_key = _read(authority)
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    names = x509.SubjectAlternativeName([x509.DNSName(identity)])
    return (
        _builder(x509.Name([]), ca.subject, key, now, LEAF_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        # Where there is no subject, the name that is there has to be understood (RFC 5280).
        .add_extension(names, critical=True)
        .add_extension(signer, critical=False)
        .sign(ca_key, hashes.SHA256())
    )


def _key_of(request: bytes) -> ec.EllipticCurvePublicKey:
    try:
        found = x509.load_pem_x509_csr(request)
        is_owners = found.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise CertificateUnreadable("the request for a certificate is no PEM") from error
    key = found.public_key()
    if not is_owners or not isinstance(key, ec.EllipticCurvePublicKey):
        raise CertificateUnreadable(
            "the request for a certificate is not signed by an elliptic curve's key of its own"
        )
    return key


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
    text = certificate.public_bytes(serialization.Encoding.PEM)
    return Pair(certificate=text, key=_key_pem(key))


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _certificate(text: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(text)
    except ValueError as error:
        raise CertificateUnreadable("the certificate is no PEM") from error


def _read(pair: Pair) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    certificate = _certificate(pair.certificate)
    try:
        key = serialization.load_pem_private_key(pair.key, password=None)
    except (ValueError, TypeError) as error:
        raise CertificateUnreadable("the key is no PEM") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateUnreadable("the key is not one of an elliptic curve")
    if certificate.public_key() != key.public_key():
        raise CertificateUnreadable("the key is not that of the certificate")
    return certificate, key
