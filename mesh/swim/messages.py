"""The datagrams of membership. Kinds 80-89; each fits DATAGRAM_BYTES_MAX when sealed.

Rules: members are named by the first 8 bytes of their id, because the roster resolves them and
names nobody else; the sender of a message is whoever sealed it, so messages do not repeat it. Every
ping and ack carries the sender's table hash, its load when that is news to the receiver, and
rumours in the space that is left. All that is said about members is signed by whoever says it: a
message is only an envelope around statements.
Deliberately not here: what statements say (`records`), names (the roster has them), user data.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mesh.limits import DATAGRAM_BYTES_MAX, DATAGRAM_SEAL_BYTES
from mesh.types import NodeId
from mesh.wire.messages import Load
from mesh.wire.schema import (
    array,
    blob,
    c_struct,
    fixed,
    message,
    nested,
    optional,
    struct,
    text,
    uint,
)

PREFIX_BYTES = 8
HASH_BYTES = 8
PAYLOAD_BYTES_MAX = DATAGRAM_BYTES_MAX - DATAGRAM_SEAL_BYTES
HEADER_BYTES_MAX = 88
"""Everything of a Ping, Ack, Relayed, Gossip or Delta but its facts and proof."""
FACTS_BYTES_MAX = PAYLOAD_BYTES_MAX - HEADER_BYTES_MAX
FACTS_MAX = 32
SIGNATURE_BYTES = 64
BODY_BYTES_MAX = 192
PING_NUMBER_MAX = 2**16 - 1
"""Numbers go round; only SWIM_PINGS_MAX of them are under way."""
WANT_MAX = 96
NONCE_BYTES = 8
BEAT_MS_MAX = 60_000
INCARNATION_MAX = 2**32 - 1
EPOCH_MAX = 2**63 - 1
DIGEST_ENTRY_BYTES = PREFIX_BYTES + 4
DIGEST_ENTRIES_MAX = (PAYLOAD_BYTES_MAX - 32) // DIGEST_ENTRY_BYTES
BUCKETS = 256
BUCKET_BYTES = 4


def prefix_of(node: NodeId) -> bytes:
    """How a member is named in datagrams."""
    return node[:PREFIX_BYTES]


@struct
class Statement:
    """Something signed by whom it names as its author; see `records` for what bodies there are."""

    body: bytes = blob(BODY_BYTES_MAX)
    signature: bytes = fixed(SIGNATURE_BYTES)
    seen_host: str = text(64)
    """With a record that has no host: where the sender of this message reaches its subject. Not
    signed, so only a hint until the subject is heard directly. Otherwise empty."""


@struct
class OwnLoad:
    """The sender's load and its number. Not signed: the seal proves the sender."""

    number: int = uint(2**32)
    load: Load = nested(Load)


@struct
class Witness:
    """On whose behalf a member is pinged."""

    asker: bytes = fixed(PREFIX_BYTES)
    nonce: bytes = fixed(NONCE_BYTES)


@message(80)
class Ping:
    number: int = uint(PING_NUMBER_MAX)
    table_hash: bytes = fixed(HASH_BYTES)
    load: OwnLoad | None = optional(c_struct(OwnLoad))
    facts: tuple[Statement, ...] = array(c_struct(Statement), FACTS_MAX)
    witness: Witness | None = optional(c_struct(Witness))
    """Somebody who wants proof of the answer, and gets it from us."""


@message(81)
class Ack:
    """Answers the Ping of that number."""

    number: int = uint(PING_NUMBER_MAX)
    table_hash: bytes = fixed(HASH_BYTES)
    load: OwnLoad | None = optional(c_struct(OwnLoad))
    facts: tuple[Statement, ...] = array(c_struct(Statement), FACTS_MAX)
    proof: Statement | None = optional(c_struct(Statement))
    """An Answer for the ping's witness."""


@message(82)
class PingFor:
    """Please ping `target` for me; answered by Relayed when it answers."""

    number: int = uint(PING_NUMBER_MAX)
    nonce: bytes = fixed(NONCE_BYTES)
    target: bytes = fixed(PREFIX_BYTES)
    host: str = text(64)
    swim_port: int = uint(65_535)
    facts: tuple[Statement, ...] = array(c_struct(Statement), FACTS_MAX)


@message(83)
class Relayed:
    """The target has answered: its own words, for the nonce of the PingFor of that number."""

    number: int = uint(PING_NUMBER_MAX)
    proof: Statement = nested(Statement)
    facts: tuple[Statement, ...] = array(c_struct(Statement), FACTS_MAX)


@message(84)
class Gossip:
    facts: tuple[Statement, ...] = array(c_struct(Statement), FACTS_MAX)


@message(85)
class Buckets:
    """Table hashes by the first byte of the members' prefixes: which parts differ?"""

    hashes: bytes = fixed(BUCKETS * BUCKET_BYTES)


@message(86)
class Digest:
    """All the sender knows with prefixes in low..high (inclusive): prefix and 4 bytes of hash."""

    low: bytes = fixed(PREFIX_BYTES)
    high: bytes = fixed(PREFIX_BYTES)
    entries: bytes = blob(DIGEST_ENTRIES_MAX * DIGEST_ENTRY_BYTES)


@message(87)
class Delta:
    """The sender's facts where tables differ, and the prefixes it wants to hear about."""

    facts: tuple[Statement, ...] = array(c_struct(Statement), FACTS_MAX)
    want: bytes = blob(WANT_MAX * PREFIX_BYTES)


@message(88)
class Beat:
    """I am here, and shall say so again within `next_ms`. Not answered."""

    next_ms: int = uint(BEAT_MS_MAX)
    facts: tuple[Statement, ...] = array(c_struct(Statement), FACTS_MAX)


def size_bytes(statement: Statement) -> int:
    """Bytes of the statement inside a message."""
    hint = len(statement.seen_host.encode()) + 2
    return 1 + 2 + len(statement.body) + 2 + SIGNATURE_BYTES + hint


def pack(groups: Iterable[Sequence[Statement]], max_packets: int) -> list[tuple[Statement, ...]]:
    """Cut groups (statements about one member, never separated) into packets that each fit one
    datagram; what exceeds `max_packets` is left out."""
    packets: list[list[Statement]] = []
    room = 0
    for group in groups:
        size = sum(map(size_bytes, group))
        assert size <= FACTS_BYTES_MAX, "a record and a quorum of charges fit one datagram"
        if size > room or len(packets[-1]) + len(group) > FACTS_MAX:
            if len(packets) >= max_packets:
                break
            packets.append([])
            room = FACTS_BYTES_MAX
        packets[-1] += group
        room -= size
    return [tuple(packet) for packet in packets]


assert SIGNATURE_BYTES + BODY_BYTES_MAX + 80 < FACTS_BYTES_MAX
assert PREFIX_BYTES * WANT_MAX + HEADER_BYTES_MAX <= PAYLOAD_BYTES_MAX
assert BUCKETS * BUCKET_BYTES + HEADER_BYTES_MAX <= PAYLOAD_BYTES_MAX
