"""What invariants need to remember of a run: who signed what, who lied, what was sent.

Deliberately not here: what must hold (`invariants`).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from mesh.log.frame import Frame
from mesh.log.model import FeedId
from mesh.types import Digest

if TYPE_CHECKING:
    from sim.state.deeds_theft import Known


class Watch:
    """See the module's head."""

    def __init__(self) -> None:
        self.signed: dict[tuple[FeedId, int], tuple[int, Digest]] = {}
        """Of each place an honest process has signed: by which node, which header."""
        self.twice: list[tuple[int, FeedId, int]] = []
        """Places that honest processes have signed with two headers."""
        self.frames: dict[Digest, Frame] = {}
        """Everything honest processes sealed."""
        self.liars: set[int] = set()
        """Nodes that may be blamed."""
        self.equivocators: set[FeedId] = set()
        """Feeds that were really signed twice, by a stolen key."""
        self.thieves: set[FeedId] = set()
        """Feeds that only thieves of a key have written."""
        self.thefts: list[Known] = []
        self.poisoned: set[Digest] = set()
        """Outputs that a stolen key claimed after its removal."""
        self.shown: list[tuple[int, int, FeedId]] = []
        """Of feeds signed twice: which node, in which life, has been shown both histories."""
        self.let_go: set[tuple[int, FeedId, Digest]] = set()
        """Bodies that a node dropped for want of room, and no checkpoint stood for them."""
        self.over_room = 0
        """How often a node that was told to make room had not made it."""
        self.overdue = 0
        """Bodies that a node was told to drop, might have, and did not."""
        self.not_written = 0
        """How often a disk has refused what a replica wanted durable."""
        self.bytes: Counter[str] = Counter()
        self.messages: Counter[str] = Counter()
        self.said: Counter[tuple[int, str]] = Counter()
        """Messages by sender and kind."""
        self.blames: list[tuple[int, int, str]] = []

    def sealed(self, node: int, frame: Frame) -> None:
        place, digest = (frame.feed, frame.signed.seq), frame.signed.digest
        before = self.signed.setdefault(place, (node, digest))
        if before[1] != digest:
            self.twice.append((node, *place))
        self.frames[digest] = frame

    def sent(self, node: int, message: object, size_bytes: int) -> None:
        kind = type(message).__name__
        self.bytes[kind] += size_bytes
        self.messages[kind] += 1
        self.said[node, kind] += 1

    def blamed(self, by: int, who: int, reason: str) -> None:
        self.blames.append((by, who, reason))
