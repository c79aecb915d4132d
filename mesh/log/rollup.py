"""Eight bytes that two logs compare: SHA-256 over what each of their writers has.

Sums and XORs of hashes can be forged (their preimages are systems of linear equations), so this is
a hash over the sorted list, kept per writer so that one new frame costs one writer's feeds.
Not here: what follows from a difference (`mesh.log.sync`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256

from mesh.log.model import SEEN_BYTES, FeedId, Head
from mesh.types import Digest, NodeId


def hash_feeds(heads: Mapping[FeedId, Head], forks: Mapping[FeedId, int]) -> Digest:
    """Over the feeds of one writer, and from where on they were signed twice."""
    hashed = sha256()
    for feed in sorted({*heads, *forks}):
        head = heads.get(feed)
        hashed.update(b"%b%c" % (feed.epoch, feed.lane))
        hashed.update(b"-" if head is None else b"+%b%b" % (_number(head.count), head.digest))
        hashed.update(b"-" if feed not in forks else b"+%b" % _number(forks[feed]))
    return Digest(hashed.digest())


def hash_writers(writers: Iterable[tuple[NodeId, Digest]]) -> bytes:
    """Over all writers, in order."""
    hashed = sha256()
    for node, digest in writers:
        hashed.update(node + digest)
    return hashed.digest()[:SEEN_BYTES]


def _number(value: int) -> bytes:
    return value.to_bytes(8, "big")
