"""A node's X.509 certificate: self-signed, over the node's Ed25519 key (RFC 8410).

It is an envelope for the key so that TLS can carry it, and nothing more: there is no issuer, no
expiry (RFC 5280's 9999 date, so a wrong clock keeps nobody out) and no host name. Being admitted is
what makes it trusted; the member's exact certificate is then a trust anchor. It says `CA:FALSE`, so
that no member can vouch for another key by signing a certificate.

The bytes must never change, for they are in the admission record: they are made once and kept.
Reading a peer's certificate is in `mesh.wire.certificate`.
"""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mesh.identity.keys import NodeKey
from mesh.types import short

_NOT_BEFORE = datetime(2000, 1, 1, tzinfo=UTC)
_NOT_AFTER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def make_certificate(key: NodeKey, name: str) -> bytes:
    """A self-signed certificate over `key`, DER. The same key and name give the same bytes.

    `name` is at most 64 bytes of UTF-8, as X.509 and `names` agree.
    """
    private = Ed25519PrivateKey.from_private_bytes(key.seed)
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, name),
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


def certificate_pem(der: bytes) -> bytes:
    """The certificate in PEM."""
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)


def private_key_pem(key: NodeKey) -> bytes:
    """The private key in PEM (PKCS #8), unencrypted."""
    private = Ed25519PrivateKey.from_private_bytes(key.seed)
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
