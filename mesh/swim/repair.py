"""Anti-entropy: finding out where two tables differ, in packets of bounded size.

    ack with another hash -> Digest (small tables) or Buckets (large ones)
    Buckets -> Digests of ranges that differ -> Delta: my facts there, and what I want
    Delta -> Delta: what of mine is newer, and what was wanted

Each step is stateless and sends at most SWIM_SYNC_DATAGRAMS_MAX packets; what does not fit is found
by the next round, which begins elsewhere. A Delta is answered only with facts that are strictly
newer or were asked for, so the exchange ends. Based on the bucketed digests of Dynamo's Merkle
synchronisation (DeCandia et al., SOSP 2007), one level deep.
Deliberately not here: when to repair, and merging.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

from mesh.limits import SWIM_FUTILE_REPAIR_S, SWIM_SYNC_DATAGRAMS_MAX
from mesh.swim.cases import certificate
from mesh.swim.choice import Rng
from mesh.swim.config import SwimConfig
from mesh.swim.effects import State
from mesh.swim.messages import (
    BUCKET_BYTES,
    BUCKETS,
    DIGEST_ENTRIES_MAX,
    DIGEST_ENTRY_BYTES,
    PREFIX_BYTES,
    WANT_MAX,
    Buckets,
    Delta,
    Digest,
    Gossip,
    Statement,
    pack,
)
from mesh.swim.records import Charge, Record, parse
from mesh.swim.table import Member, Table, Version, agreed
from mesh.types import NodeId
from mesh.wire.schema import encode_message, evolve

LOW, HIGH = bytes(PREFIX_BYTES), b"\xff" * PREFIX_BYTES


def by_prefix(table: Table) -> dict[bytes, Member]:
    """Everybody held, ourselves included, in the order of prefixes."""
    members = {member.prefix: member for member in table}
    members[table.own.prefix] = table.own
    return dict(sorted(members.items()))


def statements_about(member: Member) -> tuple[Statement, ...]:
    """What proves what we hold: its record, and of the dead the certificate."""
    if member.state == State.DEAD:
        return (member.statement, *certificate(member))
    return (member.statement,)


def opening(table: Table) -> Buckets | Digest:
    """The first packet to somebody whose table hash differs."""
    members = by_prefix(table)
    if len(members) <= DIGEST_ENTRIES_MAX:
        return _digest(LOW, HIGH, list(members.values()))
    return Buckets(_bucket_hashes(members))


def answer_buckets(table: Table, theirs: Buckets, rng: Rng) -> list[Digest]:
    """Digests of ranges that differ, beginning at a random one."""
    members = by_prefix(table)
    ours = _bucket_hashes(members)
    differing = [
        bucket for bucket in range(BUCKETS) if _slot(ours, bucket) != _slot(theirs.hashes, bucket)
    ]
    start = int(rng() * len(differing))
    digests: list[Digest] = []
    prefixes = list(members)
    pending = differing[start:] + differing[:start]
    while pending and len(digests) < SWIM_SYNC_DATAGRAMS_MAX:
        digests.append(_take_range(members, prefixes, pending, rng))
    return digests


def _take_range(
    members: dict[bytes, Member], prefixes: list[bytes], pending: list[int], rng: Rng
) -> Digest:
    """Remove buckets from the front of `pending` that fit one digest together, and make it."""
    first = last = pending.pop(0)
    low = _bucket_low(first)
    while pending and pending[0] > last:
        if len(_between(prefixes, low, _bucket_high(pending[0]))) > DIGEST_ENTRIES_MAX:
            break
        last = pending.pop(0)
    high = _bucket_high(last)
    inside = _between(prefixes, low, high)
    if len(inside) > DIGEST_ENTRIES_MAX:  # one crowded bucket: any window of it, the rest later
        start = int(rng() * (len(inside) - DIGEST_ENTRIES_MAX + 1))
        inside = inside[start : start + DIGEST_ENTRIES_MAX]
        low, high = inside[0], inside[-1]
    return _digest(low, high, [members[prefix] for prefix in inside])


def answer_digest(table: Table, theirs: Digest) -> list[Delta]:
    """Our facts where the digest differs, and what we lack."""
    members = by_prefix(table)
    entries = dict(_entries(theirs))
    inside = _between(list(members), theirs.low, theirs.high)
    different = [members[p] for p in inside if entries.get(p) != _short_mark(members[p])]
    want = [p for p in entries if p not in members and table.resolve(p) is not None]
    packed = pack(map(statements_about, different), SWIM_SYNC_DATAGRAMS_MAX)
    deltas = [Delta(packet, b"") for packet in packed]
    if want:
        deltas.append(Delta((), b"".join(want[:WANT_MAX])))
    return deltas


def answer_delta(table: Table, theirs: Delta) -> list[Delta]:
    """What was asked for, and what of ours is newer than what the Delta said.

    To be called when the Delta has been merged.
    """
    members = by_prefix(table)
    told = told_by(theirs.facts)
    newer = [
        members[prefix]
        for prefix in told
        if prefix in members and _agreed_version(members[prefix]) > told[prefix]
    ]
    asked = [members[prefix] for prefix in _cut(theirs.want, PREFIX_BYTES) if prefix in members]
    packed = pack(map(statements_about, newer + asked), SWIM_SYNC_DATAGRAMS_MAX)
    return [Delta(packet, b"") for packet in packed]


def reminder(table: Table, node: NodeId) -> bytes:
    """The payload that shows a member its own newest record, for one that seems to have forgotten
    it; empty when we hold none."""
    member = table.get(node)
    if member is None:
        return b""
    return encode_message(Gossip((evolve(member.statement, seen_host=""),)))


def told_by(statements: Iterable[Statement]) -> dict[bytes, Version]:
    """What state of whom these statements claim, by prefix; whether it is true was seen when they
    were merged."""
    told: dict[bytes, Version] = {}
    for statement in statements:
        said = parse(statement.body)
        if isinstance(said, Record):
            state = State.LEFT if said.left else State.ALIVE
            told[said.node] = (said.epoch, said.incarnation, state)
        elif isinstance(said, Charge) and said.vote and said.subject in told:
            told[said.subject] = (said.epoch, said.incarnation, State.DEAD)
    return told


def _agreed_version(member: Member) -> Version:
    return (member.record.epoch, member.record.incarnation, agreed(member.state))


def _digest(low: bytes, high: bytes, members: list[Member]) -> Digest:
    return Digest(low, high, b"".join(each.prefix + _short_mark(each) for each in members))


def _short_mark(member: Member) -> bytes:
    return (member.mark & 0xFFFFFFFF).to_bytes(4, "big")


def _entries(digest: Digest) -> list[tuple[bytes, bytes]]:
    rows = _cut(digest.entries, DIGEST_ENTRY_BYTES)
    return [(row[:PREFIX_BYTES], row[PREFIX_BYTES:]) for row in rows]


def _cut(data: bytes, width: int) -> list[bytes]:
    """Whole rows of `data`; a peer's odd tail is ignored."""
    return [data[at : at + width] for at in range(0, len(data) - width + 1, width)]


def _between(prefixes: list[bytes], low: bytes, high: bytes) -> list[bytes]:
    return prefixes[bisect_left(prefixes, low) : bisect_right(prefixes, high)]


def _bucket_hashes(members: dict[bytes, Member]) -> bytes:
    hashes = [0] * BUCKETS
    for prefix, member in members.items():
        hashes[prefix[0]] ^= member.mark & 0xFFFFFFFF
    return b"".join(value.to_bytes(BUCKET_BYTES, "big") for value in hashes)


def _slot(hashes: bytes, bucket: int) -> bytes:
    return hashes[bucket * BUCKET_BYTES : (bucket + 1) * BUCKET_BYTES]


def _bucket_low(bucket: int) -> bytes:
    return bytes([bucket]) + LOW[1:]


def _bucket_high(bucket: int) -> bytes:
    return bytes([bucket]) + HIGH[1:]


class Pace:
    """When a repair may begin: not before the last one had time to work, and ever more rarely with
    a peer whose difference repairs do not mend (two rosters that have not met, say)."""

    def __init__(self, config: SwimConfig) -> None:
        self._interval_s = config.beat_interval_s
        self._on = config.anti_entropy
        self._last_s = float("-inf")
        self._futile: dict[NodeId, tuple[bytes, bytes, float, float]] = {}

    def may_begin(self, peer: NodeId, ours: bytes, theirs: bytes, now_s: float) -> bool:
        if ours == theirs:
            self._futile.pop(peer, None)
            return False
        if not self._on or now_s - self._last_s < self._interval_s / 2:
            return False
        before = self._futile.get(peer)
        wait_s = self._interval_s
        if before is not None and before[:2] == (ours, theirs):
            if now_s < before[3]:
                return False
            wait_s = min(2 * before[2], SWIM_FUTILE_REPAIR_S)
        self._last_s = now_s
        self._futile[peer] = (ours, theirs, wait_s, now_s + wait_s)
        return True
