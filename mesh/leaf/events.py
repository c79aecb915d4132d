"""The gateway's view of one leaf's stream of events: what is new, what is missing, is it unbroken.

    Stream(boot_nonce).take(events) -> Taken(new, missing, broken)

One start of the leaf is one stream, numbered from 0 and chained (docs/leaf-link.md, "Events"). A
list that repeats what is known adds nothing; one that begins later shows how many were dropped.
Pure. Deliberately not here: storing events, moving the cursor (`link`).
"""

from __future__ import annotations

import attrs

from mesh.leaf.messages import Event, Events, chain, chain_start


@attrs.frozen
class Taken:
    """What a list of events brought."""

    first: int
    """Number of the first of `new`."""
    new: tuple[Event, ...]
    missing: int
    """Events that the leaf dropped before `first`, since the last one we have."""
    broken: bool
    """The list does not continue the chain that we know: it is not taken."""
    head: bytes = b""
    """Of the chain before `first`."""


@attrs.define
class Stream:
    """Where a stream has got to. `head` is that of the chain before event `next`."""

    boot_nonce: bytes
    next: int = 0
    head: bytes = b""
    missing: int = 0
    """All that were dropped so far."""

    def __attrs_post_init__(self) -> None:
        if not self.head:
            self.head = chain_start(self.boot_nonce)

    def take(self, events: Events) -> Taken:
        """Merge a list. The stream moves past all events of it that are new."""
        known = min(max(0, self.next - events.first), len(events.events))
        head = events.head
        for event in events.events[:known]:
            head = chain(head, event)
        gap = max(0, events.first - self.next)
        continues = events.first + known == self.next or gap > 0
        if not gap and (not continues or head != self.head):
            reached = events.first + len(events.events)
            return Taken(self.next, (), 0, broken=reached >= self.next)
        new, before = events.events[known:], head
        for event in new:
            head = chain(head, event)
        first = events.first + known
        self.next, self.head = first + len(new), head
        self.missing += gap
        return Taken(first, new, gap, broken=False, head=before)

    def agrees(self, next_event: int, head: bytes) -> bool:
        """Whether a proven head can be that of our stream: nobody has events that the leaf has
        not had when it signed."""
        return next_event > self.next or (next_event, head) == (self.next, self.head)
