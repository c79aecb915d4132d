"""What each kind of attacker does: it is heard by its victims, and nobody believes it."""

from __future__ import annotations

from collections import Counter

import pytest
from fault_stands import Effect, Effects, fault_of, pass_s, running, shows

from mesh.swim.effects import State
from mesh.types import Address
from sim.faults import begin
from sim.stage.base import Change, Listener
from sim.stage.membership import MembershipStage

SECONDS = 8.0
FEWEST = 20
"""Times that the victims have heard it by then."""


class Ears(Listener):
    """What arrives at nodes beside what nodes have sent, and who is called anything but alive."""

    def __init__(self, stage: MembershipStage) -> None:
        self.foreign: Counter[Address] = Counter()
        """Datagrams by where they came to that nobody sent there, or not so often."""
        self.refusals: Counter[Address] = Counter()
        """By where they came to."""
        self.accused: list[Change] = []
        self._sent: Counter[tuple[bytes, Address]] = Counter()
        stage.listeners.append(self)
        stage.tap(lambda data, _, to: self._sent.update([(data, to)]))
        deliver, forge = stage.network.deliver, stage.network.forge_refusal

        def delivered(data: bytes, source: Address, to: Address) -> None:
            if self._sent[data, to] > 0:
                self._sent[data, to] -= 1
            else:
                self.foreign[to] += 1
            deliver(data, source, to)

        def forged(to: Address, claims: Address, quoted: bytes) -> int:
            self.refusals[to] += 1
            return int(forge(to, claims, quoted))

        stage.network.deliver, stage.network.forge_refusal = delivered, forged

    def changed(self, change: Change) -> None:
        if change.view.state != State.ALIVE:
            self.accused.append(change)


def rejected(stage: MembershipStage, node: int, *reasons: str) -> int:
    counters = stage.counters(node)
    return sum(counters.get(reason, 0) for reason in reasons)


def is_not_believed(*reasons: str, refusals: bool = False) -> Effect:
    """Its victims get it, turn it away for one of these reasons, and go on as before; when it is
    over nothing more of it comes."""

    def effect(name: str) -> None:
        stage = running(nodes=3)
        pass_s(stage, 2.0)
        before, ears = stage.table_hash(0), Ears(stage)
        victims = (0, 2) if refusals else (1,)
        turned_away = [rejected(stage, node, *reasons) for node in victims]
        undo = begin(stage, fault_of(name, 1))
        pass_s(stage, SECONDS)
        heard = ears.refusals if refusals else ears.foreign
        for node, earlier in zip(victims, turned_away, strict=True):
            assert heard[stage.address(node)] >= FEWEST
            assert rejected(stage, node, *reasons) - earlier >= FEWEST, stage.counters(node)
        undo()
        pass_s(stage, 1.0)
        heard.clear()
        pass_s(stage, SECONDS)
        assert not heard
        assert not ears.accused
        assert stage.table_hash(0) == before

    return effect


def liar(name: str) -> None:
    """A member's forgeries come to all others, sealed as its own; their signatures are wrong, and
    its own vote alone takes nobody's life."""
    stage = running(nodes=4)
    pass_s(stage, 2.0)
    ears = Ears(stage)
    undo = begin(stage, fault_of(name, 2, 1))
    lied = f"lied.{stage.prefix(2).hex()}"
    pass_s(stage, SECONDS)
    undo()
    for node in (0, 1, 3):
        assert rejected(stage, node, "bad-signature") > 0
        assert rejected(stage, node, lied) > 0
        view = stage.view(node, 1) if node != 1 else stage.own_view(1)
        assert view is not None
        assert view.state == State.ALIVE
    assert rejected(stage, 2, "bad-signature") == 0
    assert all(change.view.state == State.SUSPECT for change in ears.accused)
    pass_s(stage, 1.0)
    told = [rejected(stage, node, lied) for node in (0, 1, 3)]
    pass_s(stage, SECONDS)
    assert told == [rejected(stage, node, lied) for node in (0, 1, 3)]


EFFECTS: Effects = {
    "replay": is_not_believed("seal-replay"),
    "noise": is_not_believed("seal-unknown-sender", "seal-malformed"),
    "forgery": is_not_believed("seal-bad-box"),
    "false_refusal": is_not_believed("refusal-not-ours", refusals=True),
    "liar": liar,
}


@pytest.mark.parametrize("name", EFFECTS)
def test_an_attacker_is_heard_and_changes_nothing(name: str) -> None:
    shows(EFFECTS, name)
