"""What a joiner and a member's join door say to each other, inside TLS. Kinds 100-119.

    token      Hello > < Welcome   TokenRequest >                       < Records.. Admitted
    code       Hello > < Welcome   PakeShare > < PakeShare  PakeConfirm > < Records.. Admitted
    approval   Hello > < Welcome   ApprovalReveal > < ApprovalWaiting   < Records.. Admitted

The door may answer anything with Refused, which ends the conversation.
"""

from __future__ import annotations

from mesh.identity.pake import SHARE_BYTES
from mesh.limits import (
    CERTIFICATE_BYTES_MAX,
    CODE_SLOTS,
    JOIN_PEERS_MAX,
    NAME_BYTES_MAX,
    RECORD_BYTES_MAX,
    ROSTER_RECORDS_MAX,
)
from mesh.types import MeshId, NodeId
from mesh.wire.schema import (
    array,
    blob,
    c_blob,
    c_struct,
    fixed,
    message,
    optional,
    struct,
    text,
    uint,
)

JOIN_VERSION = 1
BY_TOKEN, BY_CODE, BY_APPROVAL = range(3)


@struct
class PeerAddress:
    """Where a member listens."""

    node_id: NodeId = fixed(32)
    host: str = text(64)
    peer_port: int = uint(65_535)
    swim_port: int = uint(65_535)
    join_port: int = uint(65_535)


@message(100)
class JoinHello:
    """Joiner: who I am and how I want in."""

    version: int = uint(65_535)
    how: int = uint(2)
    node: NodeId = fixed(32)
    name: str = text(NAME_BYTES_MAX)
    certificate: bytes = blob(CERTIFICATE_BYTES_MAX)
    mesh_id: MeshId | None = optional(c_blob(32, 32), default=None)
    """By token: the mesh it is for."""
    slot: int = uint(CODE_SLOTS, default=0)
    """By code: its number."""
    commitment: bytes = blob(32, default=b"")
    """By approval: the hash of a nonce that is revealed after the door's is known."""


@message(101)
class JoinWelcome:
    """Door: which mesh this is. Only a claim until the joiner has checked the records."""

    mesh_id: MeshId = fixed(32)
    mesh_name: str = text(NAME_BYTES_MAX)
    node_name: str = text(NAME_BYTES_MAX)
    nonce: bytes = fixed(32)


@message(102)
class TokenRequest:
    """Joiner: my invitation. `fresh` and `consent` sign this very conversation and the door's node
    id, with the invite's key and with the node's, so that nobody can relay them."""

    invite: bytes = blob(RECORD_BYTES_MAX)
    proof: bytes = fixed(64)
    fresh: bytes = fixed(64)
    consent: bytes = fixed(64)


@message(103)
class PakeShare:
    share: bytes = fixed(SHARE_BYTES)


@message(104)
class PakeConfirm:
    """Joiner: I have the same key. The joiner goes first, so that a guess reveals itself."""

    mac: bytes = fixed(32)
    consent: bytes = fixed(64)


@message(105)
class ApprovalReveal:
    nonce: bytes = fixed(32)
    consent: bytes = fixed(64)


@message(106)
class ApprovalWaiting:
    """Door: people can see you now; they have this long to decide."""

    timeout_s: int = uint(86_400)


@message(107)
class JoinRecords:
    """Door: some of the roster's records, in order; the genesis is the very first."""

    records: tuple[bytes, ...] = array(c_blob(RECORD_BYTES_MAX), ROSTER_RECORDS_MAX)


@message(108)
class JoinAdmitted:
    """Door: that was all; you are a member. `mac` (by code only) proves that the door knows the
    code and that nobody has changed a byte of this conversation."""

    peers: tuple[PeerAddress, ...] = array(c_struct(PeerAddress), JOIN_PEERS_MAX)
    mac: bytes = blob(32, default=b"")


@struct
class RefusalParam:
    name: str = text(32)
    value: str = text(1024)


@message(109)
class Refused:
    """Door: no. One of our error codes and what its message needs."""

    code: str = text(8)
    params: tuple[RefusalParam, ...] = array(c_struct(RefusalParam), 8)
