"""A node's X.509 certificate: self-signed, over the node's Ed25519 key (RFC 8410).

It is an envelope for the key so that TLS can carry it, and nothing more: there is no issuer, no
expiry (RFC 5280's 9999 date, so a wrong clock keeps nobody out) and no host name. Being admitted is
what makes it trusted; the member's exact certificate is then a trust anchor. It says `CA:FALSE`, so
that no member can vouch for another key by signing a certificate.

The bytes must never change, for they are in the admission record: they are made once and kept.
"""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mesh.identity.keys import NodeKey
from mesh.limits import CERTIFICATE_BYTES_MAX
from mesh.types import NodeId, short
from mesh.wire.errors import WireError

_NOT_BEFORE = datetime(2000, 1, 1, tzinfo=UTC)
_NOT_AFTER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
_COMMON_NAME_CHARS_MAX = 64


def make_certificate(key: NodeKey, name: str) -> bytes:
    """A self-signed certificate over `key`, DER. The same key and name give the same bytes."""
    private = Ed25519PrivateKey.from_private_bytes(key.seed)
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, name[:_COMMON_NAME_CHARS_MAX]),
            # Chains are looked up by subject: this keeps two nodes of one name apart.
            x509.NameAttribute(NameOID.SERIAL_NUMBER, short(key.node_id)),
        ]
    )
    builder = (
        x509.CertificateBuilder(subject, subject, private.public_key())
        .serial_number(1)
        .not_valid_before(_NOT_BEFORE)
        .not_valid_after(_NOT_AFTER)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_only_signs(), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage(
                [
                    ExtendedKeyUsageOID.SERVER_AUTH,
                    ExtendedKeyUsageOID.CLIENT_AUTH,
                ]
            ),
            critical=False,
        )
    )
    return builder.sign(private, None).public_bytes(Encoding.DER)


def _only_signs() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def node_of_certificate(der: bytes) -> NodeId:
    """The node id inside a certificate. Raises WireError when it is not an Ed25519 one.

    It says which key the certificate is about, not that the certificate is valid: in TLS the
    handshake proves possession of that key.
    """
    return NodeId(_public_key(_parse(der)).public_bytes_raw())


def check_certificate(der: bytes, node: NodeId) -> None:
    """Raise WireError unless `der` is a certificate over `node`'s key, signed by that key."""
    certificate = _parse(der)
    public = _public_key(certificate)
    if public.public_bytes_raw() != node:
        raise WireError("certificate", "it is about another key")
    try:
        public.verify(certificate.signature, certificate.tbs_certificate_bytes)
    except InvalidSignature:
        raise WireError("certificate", "it is not self-signed") from None


def _parse(der: bytes) -> x509.Certificate:
    if len(der) > CERTIFICATE_BYTES_MAX:
        raise WireError("certificate", f"{len(der)} bytes")
    try:
        return x509.load_der_x509_certificate(der)
    except ValueError as error:
        raise WireError("certificate", str(error)) from None


def _public_key(certificate: x509.Certificate) -> Ed25519PublicKey:
    try:
        public = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise WireError("certificate", str(error)) from None
    if not isinstance(public, Ed25519PublicKey):
        raise WireError("certificate", "its key is not Ed25519")
    return public


def certificate_pem(der: bytes) -> bytes:
    """The certificate in PEM."""
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)


def private_key_pem(key: NodeKey) -> bytes:
    """The private key in PEM (PKCS #8), unencrypted."""
    private = Ed25519PrivateKey.from_private_bytes(key.seed)
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
