"""Version vectors, packed: 9 to 10 bytes for a writer, 11 to 13 for a feed.

    roll-up   for each writer, sorted: a prefix of its id, 8 bytes of `Log.node_digest`
    section   for each feed of one writer, sorted by tag: tag, number of events, mark
    mark      SHA-256(feed ‖ count ‖ digest of the newest header)[:8]: equal for equal histories

Prefixes and tags are as short as is clear among what the packer has, so they mean nothing outside
its message; marks and hashes are over whole ids, so another feed of the same tag has another mark.
Counts are in base 128, lowest part first, without superfluous parts. Everything that has a second
form is refused.

Not here: what follows from a difference (`needs`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from itertools import pairwise
from typing import TypeVar

import attrs

from mesh.limits import LOG_SEQ_MAX
from mesh.log.model import FeedId, Head
from mesh.log.sync.messages import DIGEST8_BYTES, RollUp, Section
from mesh.types import NodeId
from mesh.wire.errors import WireError

T = TypeVar("T")

COUNT_BYTES_MAX = 7
assert LOG_SEQ_MAX < 1 << 7 * COUNT_BYTES_MAX

Forked = Mapping[FeedId, int]
"""From which event on a feed was signed twice."""


@attrs.frozen
class Entry:
    """What a section says of one feed."""

    tag: bytes
    count: int
    mark: bytes


@attrs.frozen
class Fork:
    """What a section says of a feed that was signed twice."""

    tag: bytes
    since: int


@attrs.frozen
class Opened:
    """A section, unpacked."""

    writer: bytes
    """As its packer names it."""
    entries: tuple[Entry, ...]
    forks: tuple[Fork, ...]


# -- marks ---------------------------------------------------------------------------------------
def _feed_bytes(feed: FeedId) -> bytes:
    return b"%b%b%c" % (feed.node, feed.epoch, feed.lane)


def mark_of(feed: FeedId, head: Head) -> bytes:
    """Equal exactly for equal histories of the same feed."""
    data = _feed_bytes(feed) + head.count.to_bytes(8, "big") + head.digest
    return sha256(data).digest()[:DIGEST8_BYTES]


def tag_of(feed: FeedId) -> bytes:
    """What tags are prefixes of."""
    return sha256(b"tag\0" + _feed_bytes(feed)).digest()


# -- short names ---------------------------------------------------------------------------------
def clear_bytes(names: Iterable[bytes]) -> int:
    """The least number of bytes, at least one, by which all of them begin differently."""
    ordered = sorted(names)
    needed = 1
    for one, other in pairwise(ordered):
        same = 0
        while same < len(one) and one[same] == other[same]:
            same += 1
        needed = max(needed, same + 1)
    return needed


# -- roll-ups ------------------------------------------------------------------------------------
def pack_roll_up(hashes: Mapping[NodeId, bytes]) -> RollUp:
    size = clear_bytes(hashes)
    parts = [node[:size] + hashes[node] for node in sorted(hashes)]
    return RollUp(size, b"".join(parts))


def open_roll_up(message: RollUp) -> list[tuple[bytes, bytes]]:
    """(prefix, hash) of each writer. Raises WireError("roll-up")."""
    size, data = message.prefix_bytes, message.writers
    step = size + DIGEST8_BYTES
    if not size or len(data) % step:
        raise WireError("roll-up", "odd length")
    rows = [(data[at : at + size], data[at + size : at + step]) for at in range(0, len(data), step)]
    _check_ascending([prefix for prefix, _ in rows], "roll-up")
    return rows


# -- sections ------------------------------------------------------------------------------------
def pack_section(
    writer: bytes, heads: Mapping[FeedId, Head], forks: Forked, tag_bytes: int | None = None
) -> Section:
    """The section of one writer, who goes by that name."""
    tags = {feed: tag_of(feed) for feed in (*heads, *forks)}
    size = tag_bytes or clear_bytes(tags.values())
    entries = sorted(
        (tags[feed][:size], head.count, mark_of(feed, head)) for feed, head in heads.items()
    )
    packed = [tag + _pack_count(count) + mark for tag, count, mark in entries]
    forked = sorted((tags[feed][:size], since) for feed, since in forks.items())
    packed_forks = [tag + _pack_count(since) for tag, since in forked]
    return Section(writer, size, b"".join(packed), b"".join(packed_forks))


def open_section(section: Section) -> Opened:
    """Raises WireError("section")."""
    size = section.tag_bytes
    if not section.writer or not size:
        raise WireError("section", "no name")

    def entry(data: bytes, at: int) -> tuple[Entry, int]:
        count, after = _take_count(data, at + size)
        end = after + DIGEST8_BYTES
        return Entry(data[at : at + size], count, data[after:end]), end

    def fork(data: bytes, at: int) -> tuple[Fork, int]:
        since, end = _take_count(data, at + size)
        return Fork(data[at : at + size], since), end

    entries, forks = _take_all(section.entries, entry), _take_all(section.forks, fork)
    _check_ascending([each.tag for each in entries], "section")
    _check_ascending([each.tag for each in forks], "section")
    return Opened(section.writer, tuple(entries), tuple(forks))


def _take_all(data: bytes, take: Callable[[bytes, int], tuple[T, int]]) -> list[T]:
    taken: list[T] = []
    at = 0
    while at < len(data):
        each, at = take(data, at)
        taken.append(each)
    if at != len(data):
        raise WireError("section", "truncated")
    return taken


def _check_ascending(names: list[bytes], reason: str) -> None:
    if any(one >= other for one, other in pairwise(names)):
        raise WireError(reason, "not in order")


# -- counts --------------------------------------------------------------------------------------
def _pack_count(count: int) -> bytes:
    assert 0 <= count <= LOG_SEQ_MAX
    parts = bytearray()
    while count >= 0x80:
        parts.append(0x80 | count & 0x7F)
        count >>= 7
    parts.append(count)
    return bytes(parts)


def _take_count(data: bytes, at: int) -> tuple[int, int]:
    count = 0
    for place in range(COUNT_BYTES_MAX):
        if at + place >= len(data):
            break
        part = data[at + place]
        count |= (part & 0x7F) << 7 * place
        if part < 0x80:
            if (place and not part) or count > LOG_SEQ_MAX:
                raise WireError("section", "a count with a second form")
            return count, at + place + 1
    raise WireError("section", "truncated")
