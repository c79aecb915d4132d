"""Reading a peer's X.509 certificate: which node is it about?

Only the key inside matters to us. What TLS must verify it verifies itself; what names, dates and
extensions say is ignored. Making certificates is in `mesh.identity.certificates`.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.x509.oid import SignatureAlgorithmOID

from mesh.limits import CERTIFICATE_BYTES_MAX
from mesh.types import NodeId
from mesh.wire.errors import WireError


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
    if certificate.signature_algorithm_oid != SignatureAlgorithmOID.ED25519:
        raise WireError("certificate", "its signature is of another algorithm")
    try:
        public.verify(certificate.signature, certificate.tbs_certificate_bytes)
    except InvalidSignature:
        raise WireError("certificate", "it is not self-signed") from None


def _parse(der: bytes) -> x509.Certificate:
    if len(der) > CERTIFICATE_BYTES_MAX:
        raise WireError("certificate", f"{len(der)} bytes")
    try:
        return x509.load_der_x509_certificate(der)
    except Exception as error:  # noqa: BLE001 - what bad bytes raise there has no common base
        raise WireError("certificate", str(error)) from None


def _public_key(certificate: x509.Certificate) -> Ed25519PublicKey:
    try:
        public = certificate.public_key()
    except Exception as error:  # noqa: BLE001 - as in _parse
        raise WireError("certificate", str(error)) from None
    if not isinstance(public, Ed25519PublicKey):
        raise WireError("certificate", "its key is not Ed25519")
    return public
