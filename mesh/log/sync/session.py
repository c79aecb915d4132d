"""One peer: what waits for its answer, what it may cost us, and how it has behaved.

Rules
- At most SYNC_IN_FLIGHT_MAX questions wait; each is forgotten after SYNC_TIMEOUT_S, which counts as
  a silence.
- SYNC_BLAME_MAX lies or silences without a good answer between them, and the peer is not asked
  anything for a while, twice as long each time. It is still answered: it may be us who is deaf.
- What it asks is answered as long as its buckets have something; a flood costs us a look at each
  message and no more.

Not here: what is asked (`needs`), what is answered (`serving`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import attrs

from mesh.limits import (
    SYNC_ASKED_BURST,
    SYNC_ASKED_PER_S,
    SYNC_AVOID_MAX_S,
    SYNC_AVOID_S,
    SYNC_BLAME_MAX,
    SYNC_DIGEST_EVERY_S,
    SYNC_FANOUT,
    SYNC_IN_FLIGHT_MAX,
    SYNC_NEEDS_MAX,
    SYNC_SERVED_BURST_BYTES,
    SYNC_SERVED_BYTES_PER_S,
    SYNC_TIMEOUT_S,
)
from mesh.log.model import FeedId, Head
from mesh.log.sync.messages import FeedName
from mesh.types import NodeId


@attrs.frozen
class SyncConfig:
    """How one replica keeps up with others."""

    me: NodeId
    fanout: int = SYNC_FANOUT
    """Peers to which something fresh goes at once."""
    timeout_s: float = SYNC_TIMEOUT_S
    avoid_s: float = SYNC_AVOID_S
    digest_every_s: float = SYNC_DIGEST_EVERY_S
    """How often one peer is told our digest. Where pings carry it, this is the second net."""


@attrs.define
class Need:
    """A feed in which a peer has what we have not, or something else than we have."""

    name: FeedName
    """In the words of that peer."""
    count: int
    """Its events there."""
    mark: bytes
    """Of its history there (`vectors.mark_of`)."""
    feed: FeedId | None
    """None: we have no such feed."""
    low: int = 0
    """Up to here its history is known to be ours."""
    high: int | None = None
    """From here on it is known not to be: a search for where they part is under way."""
    questions: int = 0


@attrs.frozen
class HeadersAsked:
    """A question about what follows a place in a feed."""

    need: Need
    place: int
    lease: object
    deadline_s: float


@attrs.frozen
class BodiesAsked:
    """A question about the events of frames."""

    feed: FeedId
    seqs: tuple[int, ...]
    head: Head
    """Of our history, after the last of them."""
    deadline_s: float


Question = HeadersAsked | BodiesAsked


@attrs.define
class Bucket:
    """A token bucket."""

    per_s: float
    burst: float
    level: float = 0.0
    filled_s: float = -1e9

    def take(self, amount: float, now_s: float) -> bool:
        """Whether there is something left; a large amount may overdraw it once."""
        gained = (now_s - self.filled_s) * self.per_s
        self.level = min(self.burst, self.level + gained)
        self.filled_s = now_s
        if self.level <= 0:
            return False
        self.level -= amount
        return True


@attrs.define(eq=False)
class Session:
    """What we keep of one peer while it is connected."""

    node: NodeId
    needs: dict[tuple[bytes, bytes], Need] = attrs.field(factory=dict)
    questions: dict[int, Question] = attrs.field(factory=dict)
    knows: dict[FeedId, int] = attrs.field(factory=dict)
    """Events it is known to have, of feeds that we have."""
    gone: dict[tuple[FeedId, int], float] = attrs.field(factory=dict)
    """Bodies it said it does not have, and when it may be asked again: it may be getting them."""
    asked: Bucket = attrs.field(factory=lambda: Bucket(SYNC_ASKED_PER_S, SYNC_ASKED_BURST))
    served: Bucket = attrs.field(
        factory=lambda: Bucket(SYNC_SERVED_BYTES_PER_S, SYNC_SERVED_BURST_BYTES)
    )
    faults: Counter[str] = attrs.field(factory=Counter)
    """What it did wrong, by reason."""
    bad_in_a_row: int = 0
    avoided: int = 0
    """How often it has been left alone."""
    avoid_until_s: float = float("-inf")
    promises: int = 0
    """Feeds it told us of and then did not have, in a row."""
    nudges: int = 0
    """Digests that differed, which we told it and it did nothing about."""
    compared_s: float = float("-inf")
    """When we last told it all our writers."""

    # -- behaviour -------------------------------------------------------------------------------
    def is_avoided(self, now_s: float) -> bool:
        return now_s < self.avoid_until_s

    def behaved(self) -> None:
        self.bad_in_a_row = 0

    def misbehaved(self, reason: str, now_s: float, avoid_s: float) -> None:
        self.faults[reason] += 1
        self.bad_in_a_row += 1
        if self.bad_in_a_row >= SYNC_BLAME_MAX:
            self.bad_in_a_row = 0
            self.avoid_until_s = now_s + min(SYNC_AVOID_MAX_S, avoid_s * 2**self.avoided)
            self.avoided = min(self.avoided + 1, 16)

    # -- needs -----------------------------------------------------------------------------------
    def add_need(self, need: Need) -> None:
        key = (need.name.writer, need.name.tag)
        if len(self.needs) < SYNC_NEEDS_MAX or key in self.needs:
            self.needs[key] = need

    def has_need(self, need: Need) -> bool:
        """Whether the same is noted already, with what is known of it."""
        noted = self.needs.get((need.name.writer, need.name.tag))
        return noted is not None and (noted.count, noted.mark) == (need.count, need.mark)

    def drop_need(self, need: Need) -> None:
        self.needs.pop((need.name.writer, need.name.tag), None)

    def heard_of(self, feed: FeedId, count: int) -> None:
        """It has so many events of a feed of ours."""
        if count > self.knows.get(feed, 0):
            self.knows[feed] = count

    def has_not(self, place: tuple[FeedId, int], until_s: float) -> None:
        """It has not the body of that frame now."""
        if len(self.gone) >= SYNC_NEEDS_MAX:
            self.gone.clear()
        self.gone[place] = until_s

    def lacks(self, place: tuple[FeedId, int], now_s: float) -> bool:
        return self.gone.get(place, float("-inf")) > now_s

    # -- questions -------------------------------------------------------------------------------
    @property
    def has_room(self) -> bool:
        return len(self.questions) < SYNC_IN_FLIGHT_MAX

    def overdue(self, now_s: float) -> list[int]:
        return [number for number, each in self.questions.items() if each.deadline_s <= now_s]

    def next_deadline_s(self) -> float:
        return min((each.deadline_s for each in self.questions.values()), default=float("inf"))


Draw = Callable[[], float]
"""A float in [0, 1), as `random.Random.random`."""
