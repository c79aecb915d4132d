"""When the core's timer is due: the earliest of what its parts wait for.

Asked after nearly every datagram, and most of them make nothing due sooner: `is_quiet` says which,
so that the answer before is kept. Parts that wait for nothing, as most do most of the time, are not
asked. Deliberately not here: what is done when it is time (`core`).
"""

from __future__ import annotations

import attrs

from mesh.swim.choice import NEVER_S, sooner
from mesh.swim.flapping import Damper
from mesh.swim.membership import Membership
from mesh.swim.messages import Beat, Ping
from mesh.swim.prober import Prober
from mesh.swim.reconnect import Reconnector
from mesh.swim.spreading import Spreader


@attrs.frozen
class Due:
    """The parts that wait."""

    facts: Membership
    prober: Prober
    spreader: Spreader
    damper: Damper
    reconnector: Reconnector

    def find_s(self) -> float | None:
        """None when nothing is pending."""
        facts, due_s = self.facts, self.prober.next_timer_s()
        if facts.rumours.queue and (other_s := self.spreader.next_timer_s()) is not None:
            due_s = sooner(due_s, other_s)
        if self.damper.flaps and (other_s := self.damper.next_s()) is not None:
            due_s = sooner(due_s, other_s)
        if facts.leaving:
            return due_s if due_s != NEVER_S else None
        suspicions = facts.cases.suspicions
        if suspicions.running and (other_s := suspicions.next_s()) is not None:
            due_s = sooner(due_s, other_s)
        if self.reconnector.attempts and (other_s := self.reconnector.next_s()) is not None:
            due_s = sooner(due_s, other_s)
        return due_s if due_s != NEVER_S else None


def is_quiet(message: object) -> bool:
    """Whether it cannot have made anything due sooner, as most messages; when the next beat is
    missed, its handler sees to. What a message made due later is found out when the timer fires."""
    if isinstance(message, Ping):
        return not message.facts and message.load is None
    return isinstance(message, Beat) and not message.facts
