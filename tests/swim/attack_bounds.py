"""What an attack may cost those who are attacked, in counts: no clock, so no luck.

`sizes_of` is everything of a node that grows with what others send it; `Costs` is what its
processor and its line had to do. Deliberately not here: attacks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping

import attrs

from mesh.limits import SWIM_HISTORY_MAX, SWIM_PINGS_MAX
from mesh.swim.config import LAN
from mesh.types import Address
from sim.swim_world import SwimNode, SwimWorld

QUIET_BYTES_PER_S = 400
"""What a node of this mesh may send when nobody attacks it and one of its members is lost: 160
while none is."""
CHECKS_PER_INSIDER_AND_S = 2.0
"""A charge per interval of beats, and the victim's answer to it."""
BYTES_PER_INSIDER_AND_S = 1200
"""The victim's answers and the charges, each told as often as any rumour, and pings of judges."""
BYTES_PER_NOTICE = 250
"""An epoch and a record: what a datagram that is not fresh is answered with, at most."""


def sizes_of(node: SwimNode) -> dict[str, int]:
    """Everything that is kept because others said something."""
    endpoint = node.endpoint
    swim, sealer = endpoint._swim, endpoint._sealer
    facts, prober = swim._facts, swim._prober
    members = [facts.table.own, *facts.table]
    return {
        "members": len(facts.table),
        "tombstones": len(facts.table._tombstones),
        "rumours": len(facts.rumours.queue),
        "letters": len(facts.book.letters),
        "charges against one": max(len(member.charges) for member in members),
        "open cases": len(facts.cases.open),
        "suspicions": len(facts.cases.suspicions.running),
        "judgements asked for": len(facts.cases._check_again_s),
        "paces of accusers": len(facts.cases._pace),
        "accusers answered": len(facts._answered),
        "liars": len(facts._liars),
        "vigils": len(prober.vigils.running),
        "relays": len(prober._relays.waiting),
        "proofs awaited": len(prober.proofs._open),
        "lost members tried": len(swim._reconnector.attempts),
        "seeds": len(swim._seeds),
        "channels": len(sealer._peers),
        "known heads": len(sealer._senders),
        "pings": len(prober.pings._sent),
        "kept to repeat": len(endpoint._kept),
        "noticed": len(endpoint._noticed_s),
        "lines of one story": max(len(facts.book.history.of(m.node_id)) for m in members),
    }


def ceilings(nodes: int) -> dict[str, int]:
    """What no size may exceed, whoever does what, in a mesh of so many."""
    one_each = ("channels", "known heads", "kept to repeat", "noticed")
    return dict.fromkeys(one_each, nodes - 1) | {
        "pings": SWIM_PINGS_MAX,
        "lines of one story": SWIM_HISTORY_MAX,
    }


def room_for(insiders: int) -> dict[str, int]:
    """By how much each of the other sizes may grow when so many members lie."""
    none = ("members", "tombstones", "letters", "seeds", "lost members tried")
    each = ("charges against one", "paces of accusers", "accusers answered", "liars")
    cases = ("open cases", "suspicions", "judgements asked for", "vigils")
    return (
        dict.fromkeys(none, 0)
        | dict.fromkeys(each, insiders)
        | dict.fromkeys(cases, min(1, insiders))  # there is one victim
        | dict.fromkeys(("relays", "proofs awaited"), LAN.indirect_probes * insiders)
        | {"rumours": insiders + min(1, insiders)}  # what each says, and the victim's answer
    )


@attrs.define
class Costs:
    """What some nodes spend from now on, and how large they become."""

    mesh: SwimWorld
    nodes: list[SwimNode]
    before: dict[int, dict[str, int]] = attrs.field(init=False)
    largest: dict[int, dict[str, int]] = attrs.field(init=False)
    checked: dict[int, int] = attrs.field(init=False)
    began_s: float = attrs.field(init=False)
    sent_bytes: Counter[Address] = attrs.field(factory=Counter)

    def __attrs_post_init__(self) -> None:
        self.before = {node.index: sizes_of(node) for node in self.nodes}
        self.largest = dict(self.before)
        self.checked = {node.index: _checked(node) for node in self.nodes}
        self.began_s = self.mesh.world.now_s
        self.mesh.network.taps.append(self._sent)

    def _sent(self, data: bytes, source: Address, _to: Address) -> None:
        self.sent_bytes[source] += len(data)

    def look(self) -> None:
        """Measure again; the largest counts."""
        for node in self.nodes:
            largest, now = self.largest[node.index], sizes_of(node)
            self.largest[node.index] = {each: max(largest[each], now[each]) for each in now}

    def overgrown(self, room: Mapping[str, int]) -> list[tuple[int, str, int, int]]:
        """(node, what, before, largest) of all that exceeds its ceiling or grew by more than there
        is room for."""
        highest = ceilings(len(self.mesh.nodes))
        return [
            (index, what, self.before[index][what], size)
            for index, sizes in self.largest.items()
            for what, size in sizes.items()
            if size > highest.get(what, self.before[index][what] + room.get(what, 0))
        ]

    def checks(self) -> int:
        """Signatures verified by the node that verified most."""
        return max(_checked(node) - self.checked[node.index] for node in self.nodes)

    def most_sent_bytes(self, attackers: Container[int]) -> int:
        """By one who is none of the attackers."""
        honest = (node for node in self.nodes if node.index not in attackers)
        return max(self.sent_bytes[node.address] for node in honest)

    @property
    def lasted_s(self) -> float:
        return self.mesh.world.now_s - self.began_s


def _checked(node: SwimNode) -> int:
    return node.endpoint._swim._facts.book.voice.checked
