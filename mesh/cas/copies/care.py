"""Copies of needed blobs are kept at their number; a copy that is needed is not thrown away.

    tells    every node says on each link which needed blobs it has (`Holdings`), once they would
             survive a power cut, and what changes
    looks    now and then a node goes through the needed blobs it knows, a slice at a time
    offers   of the nodes that have one, the first in rendezvous order asks others to keep copies
             when there have been too few for `grace_s`: one repairer per blob
    keeps    who is asked fetches it: a bounded number of bytes per second, less when busy

Rules
- min(R, live members) copies are wanted. A repairer that dies is followed by the next node in the
  order, whose clock for that blob runs already.
- A node may throw a needed blob away only when as many members as are needed come before it in
  rendezvous order and have it. All know the same order, so the first ones never do, and two that
  make room at once do not both rely on each other.
- What turned out damaged is fetched again at once, from whoever has it.

Sans-IO: verbs take the monotonic time and give back effects. `is_last_copy` and `holders` are safe
in any thread. Not here: fetching, timers, what is needed and why (`needs`).
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import attrs

from mesh.cas.copies.board import DEFAULT_ROOM, HolderBoard
from mesh.cas.copies.needs import Needs
from mesh.cas.copies.placement import Place, order, precede, spread
from mesh.cas.fetch.bucket import ByteBucket
from mesh.limits import (
    COPIES_BYTES_PER_S,
    COPIES_FETCHES_AT_ONCE,
    COPIES_GRACE_S,
    COPIES_LOOK_BLOBS,
    COPIES_LOOK_EVERY_S,
    COPIES_OFFER_AGAIN_S,
    COPIES_OFFER_MAX,
    COPIES_OFFERED_MAX,
    HOLDINGS_PREFIXES_PER_MESSAGE,
)
from mesh.types import Digest, NodeId
from mesh.wire.blob_messages import PREFIX_BYTES, Holdings, Keep, KeptBlob
from mesh.wire.errors import WireError

BUSY_SLOWER = 4
"""Making copies takes so much less of the network while the machine works."""


@attrs.frozen
class CareConfig:
    """Whose copies these are."""

    me: NodeId
    grace_s: float = COPIES_GRACE_S
    """Copies may be away for so long, as during a restart, before another is made."""
    bytes_per_s: float = COPIES_BYTES_PER_S
    """What fetching copies for others may take."""


@attrs.frozen
class Tell:
    """Give a peer this message; it is lost when the link is."""

    to: NodeId
    message: Holdings | Keep


@attrs.frozen
class FetchCopy:
    """Fetch it, in the background; say `fetched` when that is over."""

    blob: Digest
    size_bytes: int | None
    sources: tuple[NodeId, ...]


@attrs.frozen
class Blame:
    """A peer has broken a rule: a word for counters."""

    peer: NodeId
    reason: str


Effect = Tell | FetchCopy | Blame


class Held(Protocol):
    """Our disk."""

    def has(self, blob: Digest) -> bool: ...

    def is_durable(self, blob: Digest) -> bool:
        """Whether what is here survives a power cut."""
        ...

    def size_bytes(self, blob: Digest) -> int | None: ...


class CopyCare:
    """See the module's head."""

    def __init__(self, config: CareConfig, needs: Needs, held: Held) -> None:
        self.config = config
        self.needs = needs
        self._held = held
        self._board = HolderBoard()
        self._numbers: dict[NodeId, int] = {}
        """Linked peers, and the number of the next message to each."""
        self._mine: dict[Digest, None] = {}
        """What we have, and say that we have."""
        self._short: dict[Digest, float] = {}
        """What we have and of which there are too few: when it is to be looked at again."""
        self._next_short_s = math.inf
        self._volatile: dict[Digest, None] = {}
        """What we have and do not say yet, because a power cut might take it."""
        self._doubtful: dict[Digest, None] = {}
        """To be looked at soon: new, or perhaps thrown away."""
        self._todo: deque[Digest] = deque()
        """The rest of the pass that is under way."""
        self._again = False
        """Something has changed since it began."""
        self._wanted: OrderedDict[Digest, tuple[int | None, NodeId]] = OrderedDict()
        """What we are asked to keep and have not fetched yet."""
        self._fetching: dict[Digest, None] = {}
        self._bucket = ByteBucket(config.bytes_per_s, config.bytes_per_s)
        self._not_before_s = 0.0
        self._room = self._told_room = DEFAULT_ROOM
        self.offered_bytes = 0
        self.offers_refused = 0

    # -- peers -----------------------------------------------------------------------------------
    def peer_up(self, peer: NodeId) -> list[Effect]:
        """There is a link to it now: it hears all that we have."""
        self._numbers[peer] = 0
        self._again = True
        return list(self._tell(peer, list(self._mine), [])) if self._mine else []

    def peer_down(self, peer: NodeId) -> None:
        """What it has said counts no more."""
        self._numbers.pop(peer, None)
        self._board.forget(peer)
        self._again = True

    def receive(self, peer: NodeId, message: Holdings | Keep) -> list[Effect]:
        """What a linked peer says."""
        if isinstance(message, Keep):
            return self._asked_to_keep(peer, message.blobs)
        try:
            self._board.heard(peer, message)
        except WireError as error:
            return [Blame(peer, error.reason)]
        self._again = True
        return []

    # -- questions -------------------------------------------------------------------------------
    def holders(self, blob: Digest) -> list[NodeId]:
        """Linked peers that say they have it; where it belongs first."""
        holders = self._board.holders(blob)
        if len(holders) > 1:
            holders = order(blob, {node: self._place(node) for node in holders})
        return holders

    def is_last_copy(self, blob: Digest) -> bool:
        """Whether it must stay here: see the module's head."""
        copies = self.needs.copies(blob)
        if not copies:
            return False
        holders = self._board.holders(blob)
        if not holders:
            return True
        places = self._places()
        wanted = min(copies, len(places))
        me = self.config.me
        before = set(precede(me, order(blob, places)))
        if sum(node in before for node in holders) < wanted:
            return True
        self._doubtful[blob] = None  # it may be gone in a moment
        return False

    # -- what changes here -----------------------------------------------------------------------
    def row(self, action: Digest, blobs: Mapping[Digest, int]) -> None:
        """The action cache refers to these blobs, of these sizes, now."""
        self._doubtful.update(dict.fromkeys(self.needs.row(action, blobs)))

    def drop_row(self, action: Digest) -> None:
        self.needs.drop_row(action)
        self._again = True

    def pinned(self, blobs: Iterable[Digest]) -> None:
        """All pins there are."""
        self._doubtful.update(dict.fromkeys(self.needs.pin(blobs)))

    def room(self, gib_log2: int) -> None:
        """What more we would keep; told with the next thing we tell."""
        self._room = gib_log2

    def damaged(self, blob: Digest) -> list[Effect]:
        """It was found damaged and is gone from the disk."""
        self._doubtful[blob] = None
        if blob in self._fetching:
            return []
        sources = tuple(self.holders(blob)) or tuple(sorted(self._numbers))
        if not sources:
            return []
        self._fetching[blob] = None
        return [FetchCopy(blob, self.needs.size_bytes(blob), sources)]

    def fetched(self, blob: Digest) -> None:
        """A fetch is over, well or not."""
        self._fetching.pop(blob, None)
        self._doubtful[blob] = None

    @property
    def waits_for_sync(self) -> bool:
        """Whether something is here that is said only once it is durable; then `synced`."""
        return bool(self._volatile)

    def synced(self) -> None:
        """What was on the disk when `waits_for_sync` was asked is durable now."""
        self._doubtful.update(self._volatile)
        self._volatile.clear()

    # -- looking ---------------------------------------------------------------------------------
    def next_look_s(self, now_s: float) -> float | None:
        """When `look` has something to do; None: not before something changes."""
        due_s = self._next_short_s
        if self._doubtful or self._todo or (self._again and len(self.needs)):
            due_s = now_s
        if self._wanted and len(self._fetching) < COPIES_FETCHES_AT_ONCE:
            due_s = min(due_s, self._not_before_s)
        return None if math.isinf(due_s) else max(due_s, now_s + COPIES_LOOK_EVERY_S)

    def look(self, now_s: float, *, busy: bool = False) -> list[Effect]:
        """Go on with the pass; tell, offer and fetch what is due."""
        gained: list[Digest] = []
        lost: list[Digest] = []
        offers: dict[NodeId, list[KeptBlob]] = {}
        for blob in self._slice(now_s):
            self._look_at(blob, now_s, (gained, lost), offers)
        effects: list[Effect] = []
        if gained or lost or (self._mine and self._room != self._told_room):
            self._told_room = self._room
            for peer in sorted(self._numbers):
                fresh = not self._numbers[peer]
                told = list(self._mine) if fresh else gained
                effects += self._tell(peer, told, [] if fresh else lost)
        effects += [Tell(peer, Keep(tuple(blobs))) for peer, blobs in offers.items()]
        self._next_short_s = min(self._short.values(), default=math.inf)
        return effects + list(self._fetch_some(now_s, busy=busy))

    def _slice(self, now_s: float) -> list[Digest]:
        looked = list(self._doubtful)[:COPIES_LOOK_BLOBS]
        for blob in looked:
            self._doubtful.pop(blob, None)
        if not self._todo and self._again:
            self._again = False
            self._todo.extend(self.needs.all())
            self._todo.extend(blob for blob in self._mine if not self.needs.copies(blob))
        elif self._next_short_s <= now_s:
            looked += [blob for blob, due_s in self._short.items() if due_s <= now_s]
        room = max(0, COPIES_LOOK_BLOBS - len(looked))
        looked += [self._todo.popleft() for _ in range(min(room, len(self._todo)))]
        return list(dict.fromkeys(looked))[:COPIES_LOOK_BLOBS]

    def _look_at(
        self,
        blob: Digest,
        now_s: float,
        changes: tuple[list[Digest], list[Digest]],
        offers: dict[NodeId, list[KeptBlob]],
    ) -> None:
        copies = self.needs.copies(blob)
        here = copies > 0 and self._held.has(blob)
        fresh = here and blob not in self._mine
        if fresh and not self._held.is_durable(blob):
            self._volatile[blob] = None  # and if there are too few, others are asked all the same
        elif fresh:
            self._mine[blob] = None
            changes[0].append(blob)
        elif not here and blob in self._mine:
            del self._mine[blob]
            changes[1].append(blob)
        enough = min(copies, 1 + len(self._numbers))
        if not here or self._board.count(blob) + 1 >= enough:
            self._short.pop(blob, None)
        elif blob not in self._short:
            self._short[blob] = now_s + self.config.grace_s
        elif self._short[blob] <= now_s:
            ours = self._offer(blob, copies, offers)
            self._short[blob] = now_s + (COPIES_OFFER_AGAIN_S if ours else self.config.grace_s)

    def _offer(self, blob: Digest, copies: int, offers: dict[NodeId, list[KeptBlob]]) -> bool:
        """Ask others to keep it, if that is ours to do."""
        places = self._places()
        ordered = order(blob, places)
        have = {self.config.me, *self._board.holders(blob)}
        size_bytes = self._held.size_bytes(blob)
        if next(node for node in ordered if node in have) != self.config.me or size_bytes is None:
            return False
        short = min(copies, len(places)) - len(have)
        for target in spread(ordered, places, have, short):
            waiting = offers.setdefault(target, [])
            if len(waiting) < COPIES_OFFER_MAX:
                waiting.append(KeptBlob(blob, size_bytes, copies))
                self.offered_bytes += size_bytes
        return True

    def _fetch_some(self, now_s: float, *, busy: bool) -> Iterator[Effect]:
        while self._wanted and len(self._fetching) < COPIES_FETCHES_AT_ONCE:
            if now_s < self._not_before_s:
                return
            blob, (size_bytes, asker) = self._wanted.popitem(last=False)
            if self._held.has(blob) or blob in self._fetching:
                self._doubtful[blob] = None
                continue
            cost = (size_bytes or 0) * (BUSY_SLOWER if busy else 1)
            self._not_before_s = now_s + self._bucket.take(cost, now_s)
            sources = dict.fromkeys((asker, *self.holders(blob)))
            able = tuple(node for node in sources if node in self._numbers)
            if able:
                self._fetching[blob] = None
                yield FetchCopy(blob, size_bytes, able)

    # -- inside ----------------------------------------------------------------------------------
    def _asked_to_keep(self, peer: NodeId, blobs: Sequence[KeptBlob]) -> list[Effect]:
        for kept in blobs:
            self.needs.ask(kept.blob, kept.size_bytes, kept.copies)
            if not self.needs.copies(kept.blob):
                self.offers_refused += 1
            elif self._held.has(kept.blob):
                self._doubtful[kept.blob] = None
            elif len(self._wanted) < COPIES_OFFERED_MAX:
                self._wanted.setdefault(kept.blob, (kept.size_bytes, peer))
            else:
                self.offers_refused += 1
        return []

    def _places(self) -> dict[NodeId, Place]:
        """All live members."""
        places = {node: self._place(node) for node in list(self._numbers)}
        places[self.config.me] = Place(float(1 << self._told_room))
        return places

    def _place(self, node: NodeId) -> Place:
        return Place(float(1 << self._board.room(node)))

    def _tell(self, peer: NodeId, add: list[Digest], drop: list[Digest]) -> Iterator[Effect]:
        step = HOLDINGS_PREFIXES_PER_MESSAGE
        for start in range(0, max(len(add), len(drop), 1), step):
            adds, drops = add[start : start + step], drop[start : start + step]
            number = self._numbers[peer]
            self._numbers[peer] = number + 1
            yield Tell(peer, Holdings(number, self._room, _prefixes(adds), _prefixes(drops)))


def _prefixes(blobs: Iterable[Digest]) -> bytes:
    return b"".join(sorted(blob[:PREFIX_BYTES] for blob in blobs))
