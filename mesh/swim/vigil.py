"""Watching members that did not answer, before anything is said against them.

    our ping unanswered -> vigil: pinged again and again -> heard of: over, nobody was accused
                                                         -> silent for all of `patience`: accused

Rules: what counts is our own evidence, from our first unanswered ping on: anything that the member
sent and that arrived here after it ends the vigil, however late it is read. So a member that is
merely late is never accused, and needs no refutation that must first reach everybody. Others who
asked us for help are told when it is heard after all. Time in which we did not run ourselves does
not count (`forgive`). At most one vigil per member. Deliberately not here: sending, verdicts.
"""

from __future__ import annotations

import attrs

from mesh.limits import SWIM_VIGIL_ASKERS_MAX
from mesh.swim.relay import Relay
from mesh.types import NodeId

PING_AFTER_S = (0.1, 0.25, 0.75, 1.5, 2.25)
"""Pings since the vigil began. The first ones soon: their answers may be as late as the member
is, and still come in time. Then every second."""
PING_EVERY_S = 1.0


@attrs.define
class Vigil:
    node: NodeId
    since_s: float
    """When our first unanswered ping left: what arrives later is a sign of life."""
    counted_from_s: float
    """From when patience counts."""
    until_s: float
    numbers: set[int]
    """Our pings of this vigil (the first is what helpers repeat in their answers)."""
    next_ping_s: float
    askers: list[Relay] = attrs.field(factory=list)
    pings: int = 0

    def pinged(self, number: int, now_s: float) -> None:
        """One more ping has left."""
        self.numbers.add(number)
        self.pings += 1
        if self.pings < len(PING_AFTER_S):
            self.next_ping_s = max(now_s, self.counted_from_s + PING_AFTER_S[self.pings])
        else:
            self.next_ping_s = now_s + PING_EVERY_S

    def next_s(self) -> float:
        return min(self.next_ping_s, self.until_s)


class Vigils:
    """The members that we watch."""

    def __init__(self) -> None:
        self.running: dict[NodeId, Vigil] = {}
        """To be looked at only: empty nearly always."""

    def __len__(self) -> int:
        return len(self.running)

    def begin(
        self, node: NodeId, number: int, since_s: float, counted_from_s: float, patience_s: float
    ) -> bool:
        """Watch `node`, whose ping `number` of `since_s` is unanswered; False when we do."""
        assert since_s <= counted_from_s
        known = self.running.get(node)
        if known is not None:
            known.numbers.add(number)
            return False
        first_s = counted_from_s + PING_AFTER_S[0]
        until_s = counted_from_s + patience_s
        self.running[node] = Vigil(node, since_s, counted_from_s, until_s, {number}, first_s)
        return True

    def ask(self, node: NodeId, relay: Relay) -> None:
        """Somebody wants to know when `node` is heard."""
        vigil = self.running.get(node)
        if vigil is not None and len(vigil.askers) < SWIM_VIGIL_ASKERS_MAX:
            vigil.askers.append(relay)

    def heard(self, node: NodeId, at_s: float) -> Vigil | None:
        """Something that `node` sent arrived at `at_s`: the vigil that this ends, if any."""
        vigil = self.running.get(node)
        if vigil is None or at_s <= vigil.since_s:
            return None
        return self.running.pop(node)

    def answered(self, node: NodeId, relay: Relay) -> None:
        """That asker has its proof."""
        vigil = self.running.get(node)
        if vigil is not None and relay in vigil.askers:
            vigil.askers.remove(relay)

    def vouched(self, number: int) -> Vigil | None:
        """The member of our ping `number` has proved that it is there: the vigil that this ends, if
        any."""
        for vigil in self.running.values():
            if number in vigil.numbers:
                return self.running.pop(vigil.node)
        return None

    def stop(self, node: NodeId) -> None:
        self.running.pop(node, None)

    def clear(self) -> None:
        self.running.clear()

    def due_pings(self, now_s: float) -> list[Vigil]:
        return [v for v in self.running.values() if v.next_ping_s <= now_s < v.until_s]

    def due(self, now_s: float) -> list[Vigil]:
        """Those that have lasted as long as was planned."""
        return [vigil for vigil in self.running.values() if vigil.until_s <= now_s]

    def over(self, vigil: Vigil, patience_s: float, now_s: float) -> bool:
        """Whether it ends, now that patience is known to be `patience_s`; else it goes on."""
        vigil.until_s = max(vigil.until_s, vigil.counted_from_s + patience_s)
        if vigil.until_s > now_s:
            return False
        del self.running[vigil.node]
        return True

    def next_s(self) -> float | None:
        if not self.running:
            return None
        return min(vigil.next_s() for vigil in self.running.values())

    def forgive(self, late_s: float) -> None:
        """We did not run for `late_s`."""
        for vigil in self.running.values():
            vigil.until_s += late_s
            vigil.counted_from_s += late_s
