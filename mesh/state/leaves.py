"""What leaves have said: the events that gateways wrote down, folded by (leaf, start, number).

Rules
- Two gateways that saw the same event, or wrote it twice, count it once. What comes of all entries
  that count is `mesh.leaf.history`: a union, whatever the order.
- Gateways are not to be trusted, leaves are: a proof is the leaf's signature under a place of its
  chain, and it decides between gateways that contradict each other. A proof that the leaf has not
  signed is refused.
- A hole is what no gateway has brought: the leaf dropped it, or it was let go, or it is with a
  gateway that was not heard. The head of the chain behind it is the leaf's.
- An owner's checkpoint keeps its newest events of each leaf, by its own `LeafLetGo`. What is lost
  without one, because the log had no room, is a hole.

Not here: leaves and their lines (`mesh.node.leaves`), and whether a leaf is one of the mesh.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mesh.identity.keys import verify
from mesh.leaf.history import Contradicts, History, SignedHead
from mesh.leaf.messages import PROOF_CONTEXT, Proof, proof_text
from mesh.leaf.segment import Segment
from mesh.limits import LEAF_STARTS_KEPT_MAX
from mesh.log.model import Dot
from mesh.state.events import LeafEvents, LeafLetGo, LeafProof
from mesh.state.ledger import Entry, Ledger
from mesh.state.windows import Moved
from mesh.types import NodeId
from mesh.wire.errors import WireError

LeafEvent = LeafEvents | LeafProof | LeafLetGo
Told = Segment | SignedHead | LeafLetGo
"""An entry, as `History` takes it."""


class _Leaf:
    """What is told of one leaf, and what it comes to."""

    def __init__(self) -> None:
        self.told: dict[Dot, Told] = {}
        """Everything that counts."""
        self.history = History()
        self.is_contested = False
        """Whether gateways contradict each other, or the leaf: then all is looked at together."""

    def add(self, dot: Dot, told: Told) -> None:
        self.told[dot] = told
        if self.is_contested:
            self.judge()
            return
        try:
            _take(self.history, told)
        except Contradicts:
            self.judge()

    def judge(self) -> None:
        """Look at everything together."""
        ordered = [self.told[dot] for dot in sorted(self.told)]
        self.history, self.is_contested = History(), False
        try:
            for each in ordered:
                _take(self.history, each)
        except Contradicts:
            self.is_contested = True
            self.history = History.of(
                [each for each in ordered if isinstance(each, Segment)],
                [each for each in ordered if isinstance(each, SignedHead)],
            )
            for each in ordered:
                if isinstance(each, LeafLetGo):
                    _take(self.history, each)


def _take(history: History, told: Told) -> None:
    """Raises Contradicts."""
    if isinstance(told, Segment):
        history.add(told)
    elif isinstance(told, SignedHead):
        history.sign(told)
    else:
        history.let_go(told.boot_nonce, told.order, told.started_unix_ms, told.below)


class LeafView:
    """See the module's head."""

    def __init__(self) -> None:
        self._entries: Ledger[NodeId] = Ledger()
        self._leaves: dict[NodeId, _Leaf] = {}
        self._added: list[tuple[NodeId, Entry, Told]] = []
        """Since `judge`."""

    # -- asking ------------------------------------------------------------------------------------
    def history(self, leaf: NodeId) -> History:
        """All that is known of a leaf's events. Not to be changed."""
        known = self._leaves.get(leaf)
        return known.history if known is not None else History()

    def all(self) -> list[NodeId]:
        """Leaves of which something counts."""
        return sorted(leaf for leaf, each in self._leaves.items() if each.told)

    def own_events(self, node: NodeId, leaf: NodeId) -> int:
        """How many a writer keeps in the mesh's state, those counted twice that it wrote twice."""
        return sum(segment.count for _, segment in self._kept_segments(node, leaf))

    def own_segments(self, node: NodeId, leaf: NodeId) -> list[Segment]:
        """What a writer keeps there, oldest start first."""
        segments = [segment for _, segment in self._kept_segments(node, leaf)]
        return sorted(segments, key=lambda s: (s.order, s.started_unix_ms, s.boot_nonce, s.first))

    # -- folding -----------------------------------------------------------------------------------
    def add(self, entry: Entry, event: LeafEvent) -> NodeId:
        """Keep an entry. Raises WireError for a proof that proves nothing."""
        told = _told(event)
        self._entries.add(event.leaf, entry)
        self._added.append((event.leaf, entry, told))
        return event.leaf

    def moved(self, moved: Iterable[Moved]) -> set[NodeId]:
        """Leaves of which other entries count now."""
        return self._entries.moved(moved)

    def judge(self, moved: set[NodeId]) -> set[NodeId]:
        """Look at what was added, and again at those leaves; those of which something is new."""
        changed = {leaf for leaf in sorted(moved) if self._judge_again(leaf)}
        for leaf, entry, told in self._added:
            known = self._leaves.setdefault(leaf, _Leaf())
            if entry.counts and entry.dot not in known.told:
                known.add(entry.dot, told)
                changed.add(leaf)
        self._added.clear()
        return changed

    def _judge_again(self, leaf: NodeId) -> bool:
        known = self._leaves.setdefault(leaf, _Leaf())
        counting = self._entries.counting(leaf)
        if [entry.dot for entry in counting] == sorted(known.told):
            return False
        before = known.told
        known.told = {
            entry.dot: before.get(entry.dot) or _told(_event_of(entry)) for entry in counting
        }
        known.judge()
        return True

    # -- less --------------------------------------------------------------------------------------
    def kept(self, node: NodeId) -> Iterator[Entry]:
        """What a checkpoint of this node keeps of its own: events that it has not let go, and of
        the newest starts the last proof and how far it has let go."""
        for leaf in sorted(self._entries):
            for entry, _ in self._kept_segments(node, leaf):
                yield entry
            yield from self._kept_words(node, leaf)

    def _own(self, node: NodeId, leaf: NodeId) -> list[Entry]:
        return [each for each in self._entries.counting(leaf) if each.dot.feed.node == node]

    def _kept_segments(self, node: NodeId, leaf: NodeId) -> list[tuple[Entry, Segment]]:
        known = self._leaves.get(leaf)
        if known is None:
            return []
        own = [(entry, known.told[entry.dot]) for entry in self._own(node, leaf)]
        below: dict[bytes, int] = {}
        for _, told in own:
            if isinstance(told, LeafLetGo):
                below[told.boot_nonce] = max(told.below, below.get(told.boot_nonce, 0))
        return [
            (entry, told)
            for entry, told in own
            if isinstance(told, Segment) and told.end > below.get(told.boot_nonce, 0)
        ]

    def _kept_words(self, node: NodeId, leaf: NodeId) -> Iterator[Entry]:
        """The last word of each kind about each of the newest starts."""
        last: dict[tuple[bytes, type], tuple[int, Entry]] = {}
        for entry in self._own(node, leaf):
            told = self._leaves[leaf].told[entry.dot]
            if not isinstance(told, Segment):
                number = told.number if isinstance(told, SignedHead) else told.below
                key = (told.boot_nonce, type(told))
                if key not in last or number >= last[key][0]:
                    last[key] = (number, entry)
        starts = self.history(leaf).starts()[-LEAF_STARTS_KEPT_MAX:]
        newest = {start.boot_nonce for start in starts}
        for (boot_nonce, _), (_, entry) in last.items():
            if boot_nonce in newest:
                yield entry

    def compact(self) -> None:
        self._entries.compact()

    # -- the same everywhere -----------------------------------------------------------------------
    def shown(self) -> list[tuple[object, ...]]:
        """All that the view shows, however it is cut into pieces."""
        return [
            (
                leaf,
                start.boot_nonce,
                (start.order, start.started_unix_ms, start.lost, start.forgotten),
                tuple(start.gaps()),
                start.ranges(),
                b"".join(piece.packed for piece in start.pieces),
            )
            for leaf in self.all()
            for start in self.history(leaf).starts()
        ]


def _event_of(entry: Entry) -> LeafEvent:
    event = entry.event
    assert isinstance(event, LeafEvents | LeafProof | LeafLetGo)
    return event


def written(leaf: NodeId, segment: Segment) -> LeafEvents:
    """How a segment is written down."""
    return LeafEvents(
        leaf,
        segment.boot_nonce,
        segment.order,
        segment.started_unix_ms,
        segment.first,
        segment.head,
        segment.lost,
        segment.packed,
    )


def segment_in(event: LeafEvents) -> Segment:
    """The segment that was written down so."""
    return Segment(
        event.boot_nonce,
        event.first,
        event.head,
        event.packed,
        order=event.order,
        started_unix_ms=event.started_unix_ms,
        lost=event.lost,
    )


def _told(event: LeafEvent) -> Told:
    """Raises WireError for a proof that proves nothing."""
    if isinstance(event, LeafEvents):
        return segment_in(event)
    if isinstance(event, LeafLetGo):
        return event
    if not is_signed(event):
        raise WireError("leaf-proof", "the leaf has not signed this")
    return SignedHead(event.boot_nonce, event.next_event, event.head)


def is_signed(event: LeafProof) -> bool:
    """Whether the leaf has signed what is said of it."""
    proof = Proof(
        event.firmware, event.program, event.counter, event.next_event, event.head, event.signature
    )
    text = proof_text(event.nonce, event.boot_nonce, proof)
    return verify(event.leaf, PROOF_CONTEXT, text, event.signature)
