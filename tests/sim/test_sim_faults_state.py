"""What each kind of fault of the replicated log does to replicas, and what they make of it.

`tests/sim_state` plays longer stories of the same kinds; here each is looked at from near: the run
is what it is with the fault, something is asked of its replicas at a moment, and the same run
without the fault answers otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
import pytest
from fault_stands import Effect, Effects, fault_of, shows

from sim.scenario.model import Fault
from sim.scenario.play import PlayConfig, play
from sim.scenario.profiles import Wish, draw
from sim.state.deeds_less import AWAY_S
from sim.state.identities import ADMINS, key_of
from sim.state.stage import StateStage

NODES = 4
AT_S, FOR_S = 9.0, 5.0
WHILE_S, AFTER_S = 13.9, 50.0
"""Just before its end, and when everything has settled."""
VICTIM = 2
BEFORE_S = AT_S - 0.001
Look = Callable[[StateStage], object]


def told(*faults: Fault, seed: int = 2, **looks: tuple[float, Look]) -> dict[str, Any]:
    """What is seen at each moment of a run with these faults, in which nothing is found wrong, and
    its figures. It goes on to the end only for somebody who looks late at what a fault has done."""
    seen: dict[str, Any] = {}

    def look(stage: StateStage, name: str, ask: Look) -> None:
        seen[name] = ask(stage)

    def prepare(director: Any) -> None:
        for name, (at_s, ask) in looks.items():
            director.stage.world.at(at_s, partial(look, director.stage, name, ask))

    base = draw(Wish(seed, "state", NODES))
    last_s = max(at_s for at_s, _ in looks.values())
    until_s = None if faults and last_s >= AFTER_S else last_s + 0.001
    config = PlayConfig(until_s=until_s, prepare=(prepare,))
    outcome = play(base.with_faults(faults), config)
    assert outcome.ok, outcome.findings[0]
    return {**seen, **outcome.figures}


def at(fault: Fault, at_s: float = AT_S) -> Fault:
    return attrs.evolve(fault, at_s=at_s, for_s=FOR_S if fault.for_s else 0.0)


def others(stage: StateStage) -> list[Any]:
    """The replicas of all but the victim."""
    return [
        node.replica for node in stage.nodes if node.replica is not None and node.index != VICTIM
    ]


def unlike_calm(answer: object, calm: object, look: Look, at_s: float = AFTER_S) -> Effect:
    """The same question has one answer with the fault, and another one without."""

    def effect(name: str) -> None:
        fault = at(fault_of(name, VICTIM))
        assert told(fault, answer=(at_s, look))["answer"] == answer
        assert told(answer=(at_s, look))["answer"] == calm

    return effect


# -- two histories -------------------------------------------------------------------------------
def forked(stage: StateStage) -> list[set[int]]:
    """Of whom each node has proof that it has two histories."""
    return [
        {stage.nodes.index(stage.node_of(feed.node)) for feed in replica.log.forks}  # type: ignore[arg-type]
        for replica in others(stage)
    ]


def rewrite(name: str) -> None:
    """As `equivocate`, but far back: much that was there is gone from the feed that is forked."""

    def lengths(stage: StateStage) -> dict[Any, int]:
        log = others(stage)[0].log
        return {feed: log.head(feed).count for feed in log.feeds_of(stage.node_id(VICTIM))}

    looks = {"before": (AT_S + 2.9, lengths), "after": (AT_S + 5.0, lengths)}
    fault = at(fault_of(name, VICTIM), AT_S + 3.0)
    seen = told(fault, seed=5, **looks, forked=(AFTER_S, forked))  # type: ignore[arg-type]
    assert seen["forked"] == [{VICTIM}] * (NODES - 1)
    shorter = [feed for feed, count in seen["before"].items() if seen["after"][feed] < count - 1]
    assert len(shorter) == 1
    calm = told(seed=5, **looks)  # type: ignore[arg-type]
    assert all(calm["after"][feed] >= count for feed, count in calm["before"].items())


# -- who is in -----------------------------------------------------------------------------------
def held_for_members(stage: StateStage) -> set[tuple[int, ...]]:
    """Whom each node holds for members; one answer when all agree."""
    nodes = stage.nodes
    return {
        tuple(other.index for other in nodes if node.holds_for_member(other.node_id))
        for node in nodes
        if node.identity is not None
    }


def is_cut_off(stage: StateStage) -> bool:
    """Whether the victim has no replica any more and nobody is linked with it."""
    others_of = [node.index for node in stage.nodes if node.index != VICTIM]
    linked = any(stage.is_linked(VICTIM, other) for other in others_of)
    return stage.nodes[VICTIM].replica is None and not linked


def remove(name: str) -> None:
    """All know that it is out and talk to it no more. (That its key writes in vain is told in
    `tests/sim_state`.)"""
    fault = at(fault_of(name, VICTIM))
    seen = told(fault, who=(AFTER_S, held_for_members), cut=(AFTER_S, is_cut_off))
    assert seen["who"] == {(0, 1, 3)}
    assert seen["cut"]
    calm = told(who=(AFTER_S, held_for_members), cut=(AFTER_S, is_cut_off))
    assert calm["who"] == {(0, 1, 2, 3)}
    assert not calm["cut"]


def readmit(name: str) -> None:
    """It is removed and admitted anew: there are two admissions, it is in, and is heard."""

    def admissions(stage: StateStage) -> int:
        return len(stage.rosters.truth.admissions_of(stage.node_id(VICTIM)))

    def removals(stage: StateStage) -> int:
        return len(stage.rosters.removals)

    looks = {
        "admissions": (AFTER_S, admissions),
        "removals": (AFTER_S, removals),
        "who": (AFTER_S, held_for_members),
        "cut": (AFTER_S, is_cut_off),
    }
    seen, calm = told(at(fault_of(name, VICTIM)), **looks), told(**looks)  # type: ignore[arg-type]
    assert (seen["admissions"], seen["removals"]) == (2, 1)
    assert (calm["admissions"], calm["removals"]) == (1, 0)
    assert seen["who"] == {(0, 1, 2, 3)}
    assert not seen["cut"]


def feud(name: str) -> None:
    """Both admins are out for all; what either admits afterwards is nobody."""

    def admins(stage: StateStage) -> set[int]:
        return {index for who in held_for_members(stage) for index in who if index < ADMINS}

    def guests(stage: StateStage) -> tuple[int, int]:
        came = [key_of(guest).node_id for guest in stage.rosters.guests]
        let_in = [g for g in came if any(node.holds_for_member(g) for node in stage.nodes)]
        return len(came), len(let_in)

    looks = {"admins": (AFTER_S, admins), "guests": (AFTER_S, guests)}
    seen, calm = told(at(fault_of(name, VICTIM)), **looks), told(**looks)  # type: ignore[arg-type]
    assert (seen["admins"], seen["guests"]) == (set(), (ADMINS, 0))
    assert (calm["admins"], calm["guests"]) == ({0, 1}, (0, 0))


def overuse(name: str) -> None:
    """One more comes than the invite is for, and one less is in than came."""

    def guests(stage: StateStage) -> tuple[int, int]:
        came = [key_of(guest).node_id for guest in stage.rosters.guests]
        let_in = [g for g in came if all(node.holds_for_member(g) for node in stage.nodes)]
        return len(came), len(let_in)

    for uses in (1, 2):
        seen = told(at(fault_of(name, VICTIM, uses=uses)), guests=(AFTER_S, guests))
        assert seen["guests"] == (uses + 1, uses)
    assert told(guests=(AFTER_S, guests))["guests"] == (0, 0)


# -- stolen keys ---------------------------------------------------------------------------------
def steal(name: str) -> None:
    """The thief is believed, then it is out with the owner, whose words are heard again after."""

    def believed(stage: StateStage) -> set[bytes | None]:
        owner = stage.node_id(VICTIM)
        values = [replica.state.registers.get(owner, "stolen 0") for replica in others(stage)]
        return {value.value if value is not None else None for value in values}

    looks = {
        "first": (AT_S + 1.0, believed),
        "noticed": (AT_S + 4.5, believed),
        "out": (AT_S + 4.5, held_for_members),
        "late": (AFTER_S, believed),
        "in": (AFTER_S, held_for_members),
    }
    seen = told(at(fault_of(name, VICTIM)), **looks)  # type: ignore[arg-type]
    assert seen["thefts"] == 1
    assert seen["first"] == {b"before the removal"}
    assert seen["noticed"] == {None}
    assert seen["out"] == {(0, 1, 3)}
    assert seen["late"] == {None}
    assert seen["in"] == {(0, 1, 2, 3)}


def twins(stage: StateStage) -> list[bool]:
    """Who has heard what a copy of the victim wrote."""
    owner = stage.node_id(VICTIM)
    values = [replica.state.registers.get(owner, "twin 0") for replica in others(stage)]
    return [value is not None and value.value == b"here" for value in values]


# -- liars ---------------------------------------------------------------------------------------
def unheard(stage: StateStage) -> int:
    """Feeds of the victim of which somebody has not all, each as often as somebody has not."""
    own = stage.nodes[VICTIM].replica
    assert own is not None
    feeds = own.log.feeds_of(stage.node_id(VICTIM))
    heads = [(feed, own.log.head(feed).count) for feed in feeds]
    return sum(each.log.head(feed).count < count for each in others(stage) for feed, count in heads)


def lie(name: str) -> None:
    """Who spoils all it says is not heard until it ends; who spoils some of it is found out by
    somebody that has lost everything and asks it."""
    looks = {"while": (WHILE_S, unheard), "after": (AFTER_S, unheard)}
    seen = told(at(fault_of(name, VICTIM, chance=1.0)), **looks)  # type: ignore[arg-type]
    calm = told(**looks)  # type: ignore[arg-type]
    assert seen["while"] > calm["while"] + NODES
    assert seen["after"] == calm["after"] == 0

    def blamed(stage: StateStage) -> set[int]:
        return {who for _, who, _ in stage.watch.blames}

    lost = attrs.evolve(fault_of("amnesia", 3), at_s=AT_S, for_s=2.0)
    lies = at(fault_of(name, VICTIM, chance=0.3), AT_S - 1)
    assert told(lost, lies, blamed=(AFTER_S, blamed))["blamed"] == {VICTIM}
    assert told(lost, blamed=(AFTER_S, blamed))["blamed"] == set()


def flood(name: str) -> None:
    """Everybody linked with it hears more than it must, drops the rest and says so; the words of
    others, and its own afterwards, come through."""

    def dropped(stage: StateStage) -> list[int]:
        return [stage.counters(node).get("flood", 0) for node in range(NODES) if node != VICTIM]

    looks = {"dropped": (AT_S + 0.5, dropped), "unheard": (AFTER_S, unheard)}
    seen = told(at(fault_of(name, VICTIM, messages=8000)), **looks)  # type: ignore[arg-type]
    assert all(3000 < each < 8000 for each in seen["dropped"])
    assert seen["unheard"] == 0
    assert told(**looks)["dropped"] == [0, 0, 0]  # type: ignore[arg-type]


# -- keeping less --------------------------------------------------------------------------------
def covered(stage: StateStage) -> list[int]:
    """For how many feeds of the victim each other node has a checkpoint that stands for a part."""
    owner = stage.node_id(VICTIM)
    logs = [replica.log for replica in others(stage)]
    return [sum(log.cover(feed) is not None for feed in log.feeds_of(owner)) for log in logs]


def held_bytes(stage: StateStage) -> int:
    """Of bodies that the victim has on its disk."""
    store = stage.nodes[VICTIM].store
    assert store is not None
    return sum(each.size_bytes for each in store.held())


def prune(name: str) -> None:
    """What checkpoints cover is on the disk before and not after; views are what they were."""
    checkpoints = [at(fault_of("checkpoint", 0, 1, 2), AT_S - wait_s) for wait_s in (4, 3, 2, 1)]
    looks = {"before": (BEFORE_S, held_bytes), "after": (AT_S + 0.001, held_bytes)}
    seen = told(*checkpoints, at(fault_of(name, VICTIM)), **looks)  # type: ignore[arg-type]
    calm = told(*checkpoints, **looks)  # type: ignore[arg-type]
    assert seen["before"] == calm["before"]
    assert seen["after"] < 0.8 * seen["before"]
    assert calm["after"] >= calm["before"]


def squeeze(name: str) -> None:
    """It has no more than there is room for, and what it dropped is gone from it."""

    def gone(stage: StateStage) -> int:
        return len([each for each in stage.watch.let_go if each[0] == VICTIM])

    room_bytes = 500
    looks = {"before": (BEFORE_S, held_bytes), "after": (AT_S + 0.001, held_bytes)}
    fault = at(fault_of(name, VICTIM, room_bytes=room_bytes))
    seen = told(fault, **looks, gone=(AFTER_S, gone))  # type: ignore[arg-type]
    assert seen["before"] > room_bytes >= seen["after"]
    assert seen["gone"] > 0


def away(name: str) -> None:
    """It is down meanwhile; when it is back it is two years later for everybody, and what others
    have said is said in short."""

    def clocks(stage: StateStage) -> list[float]:
        return [node.clock.wall() for node in stage.nodes]

    def is_up(stage: StateStage) -> bool:
        return stage.is_up(VICTIM)

    def in_short(stage: StateStage) -> int:
        log = others(stage)[0].log
        return sum(log.cover(feed) is not None for feed in log.heads)

    end_s = AT_S + FOR_S
    looks = {
        "clocks before": (end_s - 0.001, clocks),
        "clocks after": (end_s + 0.001, clocks),
        "while": (WHILE_S, is_up),
        "after": (end_s + 0.001, is_up),
        "short": (AFTER_S, in_short),
    }
    seen, calm = told(at(fault_of(name, VICTIM)), **looks), told(**looks)  # type: ignore[arg-type]
    assert (seen["while"], seen["after"]) == (False, True)
    for before_s, after_s in zip(seen["clocks before"], seen["clocks after"], strict=True):
        assert after_s - before_s == pytest.approx(AWAY_S, abs=1.0)
    assert seen["short"] > 0
    assert (calm["while"], calm["short"]) == (True, 0)


EFFECTS: Effects = {
    "equivocate": unlike_calm([{VICTIM}] * (NODES - 1), [set()] * (NODES - 1), forked),
    "rewrite": rewrite,
    "two_faces": unlike_calm([{VICTIM}] * (NODES - 1), [set()] * (NODES - 1), forked),
    "remove": remove,
    "steal": steal,
    "twin": unlike_calm([True] * (NODES - 1), [False] * (NODES - 1), twins),
    "lie": lie,
    "flood": flood,
    "checkpoint": unlike_calm([1] * (NODES - 1), [0] * (NODES - 1), covered),
    "prune": prune,
    "squeeze": squeeze,
    "away": away,
    "feud": feud,
    "readmit": readmit,
    "overuse": overuse,
}


@pytest.mark.parametrize("name", EFFECTS)
def test_a_kind_of_the_log_does_what_it_says(name: str) -> None:
    shows(EFFECTS, name)
