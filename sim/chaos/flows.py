"""TCP connections as a switch sees them, so that it can speak in the name of their ends.

A reset is believed only if its sequence number is exactly what its receiver expects (RFC 5961).
That is the last number the receiver acknowledged, or, when its acknowledgement is still to come,
the one after what it has been sent: both are tried. Deliberately not here: reordering, windows,
retransmission; the ends do those.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

import attrs

from mesh.types import Address
from sim.chaos.frames import ACK, RST, SYN, Segment

FLOWS_MAX = 4096
Way = tuple[Address, Address]


@attrs.define(eq=False)
class Flow:
    """One connection; ways are keyed by their source."""

    dialler: Address
    listener: Address
    said: dict[Address, int] = attrs.field(factory=dict)
    """The next sequence number of each end."""
    heard: dict[Address, int] = attrs.field(factory=dict)
    """What each end has acknowledged."""
    stalled: bool = False
    """Its listener shall say nothing."""
    left_bytes: int | None = None
    """It breaks when it has carried so many more."""

    def note(self, segment: Segment) -> None:
        self.said[segment.source] = segment.next_sequence
        if segment.flags & ACK:
            self.heard[segment.source] = segment.acknowledged
        if self.left_bytes is not None:
            self.left_bytes -= segment.payload_bytes

    def resets(self) -> Iterator[Segment]:
        """Segments that end it for both."""
        for victim, other in self._ways():
            expected = {self.heard.get(victim), self.said.get(other)} - {None}
            for sequence in sorted(number for number in expected if number is not None):
                yield Segment(other, victim, sequence, 0, RST, 0)

    def _ways(self) -> tuple[Way, Way]:
        return (self.dialler, self.listener), (self.listener, self.dialler)


class Flows:
    """All connections that pass, oldest forgotten first."""

    def __init__(self) -> None:
        self._flows: OrderedDict[frozenset[Address], Flow] = OrderedDict()

    def follow(self, segment: Segment) -> Flow:
        """The segment's connection, with what the segment says noted."""
        key = frozenset((segment.source, segment.destination))
        flow = self._flows.get(key)
        opens = segment.flags & (SYN | ACK) == SYN
        if flow is None or (opens and flow.said.get(segment.source) != segment.next_sequence):
            answers = segment.flags & (SYN | ACK) == SYN | ACK
            ends = (segment.source, segment.destination)
            flow = Flow(*(reversed(ends) if answers else ends))
            self._flows[key] = flow
            if len(self._flows) > FLOWS_MAX:
                self._flows.popitem(last=False)
        flow.note(segment)
        if segment.flags & RST:
            self.forget(flow)
        return flow

    def forget(self, flow: Flow) -> None:
        self._flows.pop(frozenset((flow.dialler, flow.listener)), None)

    def touching(self, host: str) -> list[Flow]:
        """All with that host at an end."""
        return [
            flow for flow in self._flows.values() if host in (flow.dialler[0], flow.listener[0])
        ]


def refusal_of(opening: Segment) -> Segment:
    """What a host without a listener answers."""
    return Segment(opening.destination, opening.source, 0, opening.next_sequence, RST | ACK, 0)
