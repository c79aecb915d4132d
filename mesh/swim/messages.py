"""The datagrams of membership. Kinds 80-89; each fits DATAGRAM_BYTES_MAX when sealed.

Rules: members are named by the first 8 bytes of their id, because the roster resolves them and
names nobody else; the sender of a message is whoever sealed it, so messages do not repeat it. Every
ping and ack carries the sender's table hash and load, and rumours in the space that is left.
Deliberately not here: names (the roster has them) and user data.
"""

from __future__ import annotations

from mesh.limits import DATAGRAM_BYTES_MAX, DATAGRAM_SEAL_BYTES
from mesh.types import NodeId
from mesh.wire.messages import Load
from mesh.wire.schema import (
    array,
    blob,
    boolean,
    c_struct,
    encode_struct,
    fixed,
    message,
    nested,
    struct,
    text,
    uint,
)

PREFIX_BYTES = 8
HASH_BYTES = 8
PAYLOAD_BYTES_MAX = DATAGRAM_BYTES_MAX - DATAGRAM_SEAL_BYTES
HEADER_BYTES_MAX = 64
"""Everything of a Ping, Ack, Relayed, Gossip or Delta but its facts."""
FACTS_BYTES_MAX = PAYLOAD_BYTES_MAX - HEADER_BYTES_MAX
FACTS_MAX = 64
WANT_MAX = 96
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
class Fact:
    """What is said of one member. Ordered by (epoch, incarnation, state); see `table.version`."""

    node: bytes = fixed(PREFIX_BYTES)
    epoch: int = uint(EPOCH_MAX)
    """Wall-clock milliseconds at the subject's start, made monotone: one start, one epoch."""
    incarnation: int = uint(INCARNATION_MAX)
    """Raised by the subject alone, to refute what is said of it."""
    state: int = uint(4)
    accuser: bytes = blob(PREFIX_BYTES)
    """Who suspects or buried it; empty for what the subject says itself."""
    host: str = text(64)
    """IP literal; empty: whoever hears it from the subject itself fills in where it came from."""
    swim_port: int = uint(65_535)
    peer_port: int = uint(65_535)
    join_port: int = uint(65_535)
    load_number: int = uint(2**32)
    """Counts the subject's load reports in this epoch; the load has its own order."""
    load: Load = nested(Load)


@message(80)
class Ping:
    number: int = uint(2**32)
    table_hash: bytes = fixed(HASH_BYTES)
    load_number: int = uint(2**32)
    load: Load = nested(Load)
    facts: tuple[Fact, ...] = array(c_struct(Fact), FACTS_MAX)


@message(81)
class Ack:
    """Answers the Ping of that number."""

    number: int = uint(2**32)
    table_hash: bytes = fixed(HASH_BYTES)
    load_number: int = uint(2**32)
    load: Load = nested(Load)
    facts: tuple[Fact, ...] = array(c_struct(Fact), FACTS_MAX)


@message(82)
class PingFor:
    """Please ping `target` for me; answered by Relayed in any case, unless you are not well."""

    number: int = uint(2**32)
    target: bytes = fixed(PREFIX_BYTES)
    host: str = text(64)
    swim_port: int = uint(65_535)
    facts: tuple[Fact, ...] = array(c_struct(Fact), FACTS_MAX)


@message(83)
class Relayed:
    """`reached` is the relayed ack; otherwise this is Lifeguard's nack: I am well, it is silent."""

    number: int = uint(2**32)
    reached: bool = boolean()
    facts: tuple[Fact, ...] = array(c_struct(Fact), FACTS_MAX)


@message(84)
class Gossip:
    facts: tuple[Fact, ...] = array(c_struct(Fact), FACTS_MAX)


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

    facts: tuple[Fact, ...] = array(c_struct(Fact), FACTS_MAX)
    want: bytes = blob(WANT_MAX * PREFIX_BYTES)


def size_bytes(fact: Fact) -> int:
    """Bytes of the fact inside a message."""
    return len(encode_struct(fact))


def pack(facts: list[Fact], max_packets: int) -> list[tuple[Fact, ...]]:
    """Cut facts into groups that each fit one datagram; what exceeds `max_packets` is left out."""
    packets: list[list[Fact]] = []
    room = 0
    for fact in facts:
        size = size_bytes(fact)
        if size > room or len(packets[-1]) >= FACTS_MAX:
            if len(packets) >= max_packets:
                break
            packets.append([])
            room = FACTS_BYTES_MAX
        packets[-1].append(fact)
        room -= size
    return [tuple(packet) for packet in packets]


assert PREFIX_BYTES * WANT_MAX + HEADER_BYTES_MAX <= PAYLOAD_BYTES_MAX
assert BUCKETS * BUCKET_BYTES + HEADER_BYTES_MAX <= PAYLOAD_BYTES_MAX
