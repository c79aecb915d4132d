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

from mesh.limits import SWIM_SYNC_DATAGRAMS_MAX
from mesh.swim.choice import Rng
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
    Fact,
    pack,
)
from mesh.swim.table import Table, fingerprint, version

LOW, HIGH = bytes(PREFIX_BYTES), b"\xff" * PREFIX_BYTES


def facts_by_prefix(table: Table) -> dict[bytes, Fact]:
    """All facts, our own included, in the order of prefixes."""
    facts = {member.fact.node: member.fact for member in table}
    facts[table.own.node] = table.own
    return dict(sorted(facts.items()))


def opening(table: Table) -> Buckets | Digest:
    """The first packet to somebody whose table hash differs."""
    facts = facts_by_prefix(table)
    if len(facts) <= DIGEST_ENTRIES_MAX:
        return _digest(LOW, HIGH, list(facts.values()))
    return Buckets(_bucket_hashes(facts))


def answer_buckets(table: Table, theirs: Buckets, rng: Rng) -> list[Digest]:
    """Digests of ranges that differ, beginning at a random one."""
    facts = facts_by_prefix(table)
    ours = _bucket_hashes(facts)
    differing = [
        bucket for bucket in range(BUCKETS) if _slot(ours, bucket) != _slot(theirs.hashes, bucket)
    ]
    start = int(rng() * len(differing))
    digests: list[Digest] = []
    prefixes = list(facts)
    pending = differing[start:] + differing[:start]
    while pending and len(digests) < SWIM_SYNC_DATAGRAMS_MAX:
        digests.append(_take_range(facts, prefixes, pending, rng))
    return digests


def _take_range(
    facts: dict[bytes, Fact], prefixes: list[bytes], pending: list[int], rng: Rng
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
    return _digest(low, high, [facts[prefix] for prefix in inside])


def answer_digest(table: Table, theirs: Digest) -> list[Delta]:
    """Our facts where the digest differs, and what we lack."""
    facts = facts_by_prefix(table)
    entries = dict(_entries(theirs))
    inside = _between(list(facts), theirs.low, theirs.high)
    different = [facts[p] for p in inside if entries.get(p) != _short_mark(facts[p])]
    want = [p for p in entries if p not in facts and table.resolve(p) is not None]
    deltas = [Delta(packet, b"") for packet in pack(different, SWIM_SYNC_DATAGRAMS_MAX)]
    if want:
        deltas.append(Delta((), b"".join(want[:WANT_MAX])))
    return deltas


def answer_delta(table: Table, theirs: Delta) -> list[Delta]:
    """The facts asked for, and those of ours that are newer than what the Delta said.

    To be called when the Delta has been merged.
    """
    facts = facts_by_prefix(table)
    told = {fact.node: fact for fact in theirs.facts if fact.node in facts}
    newer = [facts[prefix] for prefix in told if version(facts[prefix]) > version(told[prefix])]
    asked = [facts[prefix] for prefix in _cut(theirs.want, PREFIX_BYTES) if prefix in facts]
    return [Delta(packet, b"") for packet in pack(newer + asked, SWIM_SYNC_DATAGRAMS_MAX)]


def _digest(low: bytes, high: bytes, facts: list[Fact]) -> Digest:
    return Digest(low, high, b"".join(fact.node + _short_mark(fact) for fact in facts))


def _short_mark(fact: Fact) -> bytes:
    return (fingerprint(fact) & 0xFFFFFFFF).to_bytes(4, "big")


def _entries(digest: Digest) -> list[tuple[bytes, bytes]]:
    rows = _cut(digest.entries, DIGEST_ENTRY_BYTES)
    return [(row[:PREFIX_BYTES], row[PREFIX_BYTES:]) for row in rows]


def _cut(data: bytes, width: int) -> list[bytes]:
    """Whole rows of `data`; a peer's odd tail is ignored."""
    return [data[at : at + width] for at in range(0, len(data) - width + 1, width)]


def _between(prefixes: list[bytes], low: bytes, high: bytes) -> list[bytes]:
    return prefixes[bisect_left(prefixes, low) : bisect_right(prefixes, high)]


def _bucket_hashes(facts: dict[bytes, Fact]) -> bytes:
    hashes = [0] * BUCKETS
    for prefix, fact in facts.items():
        hashes[prefix[0]] ^= fingerprint(fact) & 0xFFFFFFFF
    return b"".join(value.to_bytes(BUCKET_BYTES, "big") for value in hashes)


def _slot(hashes: bytes, bucket: int) -> bytes:
    return hashes[bucket * BUCKET_BYTES : (bucket + 1) * BUCKET_BYTES]


def _bucket_low(bucket: int) -> bytes:
    return bytes([bucket]) + LOW[1:]


def _bucket_high(bucket: int) -> bytes:
    return bytes([bucket]) + HIGH[1:]
