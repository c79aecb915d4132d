"""Who an end of a stream is: the real certificates, read once each, and no cryptography.

A simulated program can only show a certificate through `SimStreams`, which makes sure that it holds
the key; so the proof that TLS gives need not be computed again for every connection.
"""

from __future__ import annotations

import ssl
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from mesh.ports import StreamBroken, TrustStore
from mesh.types import NodeId
from mesh.wire.certificate import node_of_certificate
from mesh.wire.errors import WireError

REMEMBERED_MAX = 8192


def own_der(trust: TrustStore) -> bytes:
    """The certificate that `trust` shows, DER. Raises StreamBroken when the key is not its key."""
    return _checked(*trust.own_certificate())


def node_of(der: bytes) -> NodeId:
    """Raises StreamBroken."""
    node = _node(der)
    if node is None:
        raise StreamBroken("bad-certificate")
    return node


def is_trusted(der: bytes, trust: TrustStore) -> bool:
    """Whether exactly this certificate is among the anchors."""
    return der in _anchors(trust.anchors())


@lru_cache(maxsize=REMEMBERED_MAX)
def _checked(certificate: bytes, key: bytes) -> bytes:
    der = ssl.PEM_cert_to_DER_cert(certificate.decode())
    private = load_pem_private_key(key, None)
    if not isinstance(private, Ed25519PrivateKey):
        raise StreamBroken("handshake-failed")
    if private.public_key().public_bytes_raw() != _node(der):
        raise StreamBroken("handshake-failed")
    return der


@lru_cache(maxsize=REMEMBERED_MAX)
def _node(der: bytes) -> NodeId | None:
    try:
        return node_of_certificate(der)
    except WireError:
        return None


@lru_cache(maxsize=64)
def _anchors(anchors: tuple[bytes, ...]) -> frozenset[bytes]:
    return frozenset(anchors)
