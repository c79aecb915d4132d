"""What the parts of membership share: the table, the rumours, and what is to be said to whom.

Rules: every change of a member's state goes through `changed`, so it is counted, remembered for
people who ask, and reported once. A letter is a few statements for one member now, beside gossip:
charges to those who must judge, refutations to those who accused.
Deliberately not here: decisions (`membership`, `cases`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import attrs

from mesh.limits import SWIM_LETTERS_MAX
from mesh.swim.config import SwimConfig
from mesh.swim.dissemination import Rumours
from mesh.swim.effects import MemberChanged, State
from mesh.swim.history import Happening, History
from mesh.swim.messages import Statement
from mesh.swim.observers import Observers
from mesh.swim.table import Member, Table
from mesh.swim.voice import Voice
from mesh.types import NodeId


@attrs.frozen
class Letter:
    to: NodeId
    statements: tuple[Statement, ...]


@attrs.define
class Book:
    """One node's facts and what follows from them."""

    config: SwimConfig
    voice: Voice
    table: Table
    observers: Observers
    counters: Counter[str]
    rumours: Rumours = attrs.field(factory=Rumours)
    history: History = attrs.field(factory=History)
    letters: list[Letter] = attrs.field(factory=list)

    @property
    def own_id(self) -> NodeId:
        return self.table.own.node_id

    @property
    def own_prefix(self) -> bytes:
        return self.table.own.prefix

    def write(self, to: Iterable[NodeId], *statements: Statement) -> None:
        """Say it to these members (not to ourselves) with the next effects."""
        for node in to:
            if node == self.own_id:
                continue
            if len(self.letters) >= SWIM_LETTERS_MAX:
                self.counters["letters-dropped"] += 1
                return
            self.letters.append(Letter(node, statements))

    def take_letters(self) -> list[Letter]:
        letters, self.letters = self.letters, []
        return letters

    def changed(self, member: Member, previous: State | None, now_s: float) -> MemberChanged:
        """Count, remember and report that it is in another state, or anew in the same."""
        word = member.state.name.lower()
        self.counters[f"became-{word}"] += 1
        self.note(member, word, now_s)
        return MemberChanged(member.view(), previous)

    def note(
        self, member: Member, what: str, now_s: float, by: NodeId | None = None, evidence: str = ""
    ) -> None:
        """Add a line to its story."""
        record = member.record
        line = Happening(now_s, what, by, record.epoch, record.incarnation, evidence)
        self.history.note(member.node_id, line)
