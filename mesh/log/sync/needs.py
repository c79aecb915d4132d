"""What a peer has and we lack: comparing its lists with our log, and where to ask next.

Rules
- Equal marks are equal histories; a mark of ours at the peer's place means that it is behind, which
  is its own business.
- Ahead of us: we ask for what comes after our newest frame. It has other frames than we have there:
  we look for the place where the two histories part, halving between what is known to be common
  and what is not. The first frame after it, signed by the same writer, is the proof of a fork.
- What is beyond a fork or a cut that we know of is not lacked.

Not here: who is asked and when (`fetching`).
"""

from __future__ import annotations

from mesh.log.log import Log
from mesh.log.model import FeedId
from mesh.log.sync.messages import FeedName
from mesh.log.sync.serving import Writers
from mesh.log.sync.session import Need, Session
from mesh.log.sync.vectors import Entry, Opened, mark_of


def compare(log: Log, writers: Writers, session: Session, section: Opened) -> None:
    """Note what the peer has and we lack of one writer."""
    for entry in section.entries:
        need = _need_of(log, writers, section.writer, entry)
        if is_settled(log, writers, session, need):
            session.drop_need(need)
        elif not session.has_need(need):
            session.add_need(need)


def forks_lacked(log: Log, writers: Writers, section: Opened) -> list[FeedName]:
    """Feeds of which the peer has a proof, and we have none or one of a later place."""
    lacked = []
    for fork in section.forks:
        name = FeedName(section.writer, fork.tag)
        known = [log.forks[f].seq for f in writers.feeds_named(name) if f in log.forks]
        if not known or fork.since < min(known):
            lacked.append(name)
    return lacked


def _need_of(log: Log, writers: Writers, writer: bytes, entry: Entry) -> Need:
    name = FeedName(writer, entry.tag)
    ours = writers.feeds_named(name)
    if len(ours) > 1:
        equal = [feed for feed in ours if has_mark(log, feed, entry.count, entry.mark)]
        ours = equal or [feed for feed in ours if feed in log.heads] or ours
    return Need(name, entry.count, entry.mark, ours[0] if len(ours) == 1 else None)


def is_settled(log: Log, writers: Writers, session: Session, need: Need) -> bool:
    """Whether we have all of it that may be had."""
    feeds = [need.feed] if need.feed is not None else writers.feeds_named(need.name)
    for feed in feeds:
        if has_mark(log, feed, need.count, need.mark):
            session.heard_of(feed, need.count)
            return True
        if need.feed is not None and is_closed(log, feed):
            return True
    return False


def is_closed(log: Log, feed: FeedId) -> bool:
    """Whether nothing can follow what we have of it: the fork, or the cut, is right here."""
    limit = log.limit(feed)
    return limit is not None and log.head(feed).count >= limit


def has_mark(log: Log, feed: FeedId, count: int, mark: bytes) -> bool:
    """Whether our own history of the feed has this mark at that place."""
    found = log.headers(feed, count - 1, count, 1)
    return bool(found) and found[0].end == count and mark_of(feed, found[0].head) == mark


def place_to_ask(log: Log, need: Need) -> int:
    """After which event to ask: 0, or a place where one of our frames ends."""
    if need.feed is None:
        return 0
    if need.high is None:
        head = log.head(need.feed)
        if head.count < need.count:
            return head.count
        need.high = _end_at_or_below(log, need.feed, need.count)
        if need.high < need.count:  # it ends a frame where we do not
            place, need.high = need.high, need.high + 1
            return place
    middle = _end_at_or_below(log, need.feed, (need.low + need.high) // 2)
    return middle if middle > need.low else _first_end_after(log, need)


def _end_at_or_below(log: Log, feed: FeedId, seq: int) -> int:
    """The last place up to `seq` where one of our frames ends."""
    found = log.headers(feed, seq - 1, seq, 1)
    if not found:
        return 0
    return found[0].end if found[0].end <= seq else found[0].seq


def _first_end_after(log: Log, need: Need) -> int:
    """The end of the frame that begins at `low`, if that is still in question; else `low`."""
    assert need.feed is not None
    assert need.high is not None
    found = log.headers(need.feed, need.low, need.low + 1, 1)
    return found[0].end if found and found[0].end < need.high else need.low
