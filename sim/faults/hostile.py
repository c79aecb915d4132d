"""Faults made by people: an attacker on the same network, and a member that lies.

The attacker has no key: it can record and repeat what it sees, invent datagrams, and forge
refusals. The liar has its own key, and puts words into the mouths of others. None of it may change
anything (`sim.oracles` watches). Deliberately not here: several liars that conspire; attack tables
of membership's own tests have them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.swim.effects import MemberView
from mesh.swim.messages import SIGNATURE_BYTES, Gossip, Statement
from mesh.swim.records import Body, Charge, body_of
from mesh.wire.schema import encode_message, evolve
from sim.faults.model import Kind, Param, Undo
from sim.scenario.model import Fault

if TYPE_CHECKING:
    from sim.stage.base import Stage

RECORDED_MAX = 512
NOISE_BYTES_MAX = 1200


def _every(stage: Stage, fault: Fault, act: object) -> Undo:
    """Call `act()` at the fault's rate until undone."""
    assert callable(act)
    gap_s = 1.0 / fault.number("rate")

    def turn() -> None:
        act()
        timer[0] = stage.world.after(gap_s, turn)

    timer = [stage.world.after(gap_s, turn)]

    def undo() -> None:
        timer[0].cancel()

    return undo


def _replay(stage: Stage, fault: Fault) -> Undo:
    """Old datagrams to the targets come again, as they were."""
    rng = stage.world.rng("replayer")
    victims = {stage.address(node) for node in fault.target}
    heard = stage.recording(victims, RECORDED_MAX)

    def act() -> None:
        if heard.datagrams:
            data, source, destination = heard.datagrams[int(rng.random() * len(heard.datagrams))]
            stage.network.deliver(data, source, destination)

    stop = _every(stage, fault, act)

    def undo() -> None:
        stop()
        heard.stop()

    return undo


def _noise(stage: Stage, fault: Fault) -> Undo:
    """Random bytes that claim to come from another member."""
    rng = stage.world.rng("noise")

    def act() -> None:
        for node in fault.target:
            size = 1 + int(rng.random() * NOISE_BYTES_MAX)
            claimed = stage.address((node + 1) % stage.size)
            data = b"\x01" + rng.getrandbits(8 * size).to_bytes(size, "big")
            stage.network.deliver(data, claimed, stage.address(node))

    return _every(stage, fault, act)


def _forgery(stage: Stage, fault: Fault) -> Undo:
    """Recorded datagrams with one bit changed, at a place of the attacker's choice."""
    rng = stage.world.rng("forger")
    victims = {stage.address(node) for node in fault.target}
    heard = stage.recording(victims, RECORDED_MAX)

    def act() -> None:
        if not heard.datagrams:
            return
        data, source, destination = heard.datagrams[int(rng.random() * len(heard.datagrams))]
        changed = bytearray(data)
        changed[int(rng.random() * len(changed))] ^= 1 << int(rng.random() * 8)
        stage.network.deliver(bytes(changed), source, destination)

    stop = _every(stage, fault, act)

    def undo() -> None:
        stop()
        heard.stop()

    return undo


def _false_refusal(stage: Stage, fault: Fault) -> Undo:
    """Port-unreachable notices about a live node, quoting bytes it never sent."""
    rng = stage.world.rng("refuser")
    claimed = stage.address(fault.target[0])

    def act() -> None:
        quoted = rng.getrandbits(8 * 64).to_bytes(64, "big")
        for node in range(stage.size):
            if node != fault.target[0]:
                stage.network.forge_refusal(stage.address(node), claimed, quoted)

    return _every(stage, fault, act)


def _liar(stage: Stage, fault: Fault) -> Undo:
    """A member spreads statements that others never signed, and its own vote for a death."""
    liar, victim = fault.target
    rng = stage.world.rng("liar")

    def act() -> None:
        view = stage.own_view(victim)
        if view is None or stage.endpoint(liar) is None or stage.is_frozen(liar):
            return
        forged = [lie for node in range(stage.size) for lie in lies(stage, node, victim, view)]
        statement = forged[int(rng.random() * len(forged))]
        signature = rng.getrandbits(8 * SIGNATURE_BYTES).to_bytes(SIGNATURE_BYTES, "big")
        body = body_of(statement)
        stage.shout(liar, encode_message(Gossip((Statement(body, signature, ""),))))
        stage.shout(liar, encode_message(Gossip((stage.vote(liar, victim, view),))))

    return _every(stage, fault, act)


def lies(stage: Stage, author: int, victim: int, view: MemberView) -> list[Body]:
    """What `author` never said: a vote for the death of the victim; as the victim, later records,
    one of them a farewell."""
    subject = stage.prefix(victim)
    if author != victim:
        return [Charge(stage.prefix(author), subject, view.epoch, view.incarnation, 0, True)]
    record = stage.record(victim)
    later = evolve(record, incarnation=record.incarnation + 7)
    return [later, evolve(later, left=True)]


_RATE = Param("rate", 0.5, 50.0)

KINDS = (
    Kind(
        "replay",
        "hostile",
        "somebody repeats old datagrams to {who}, {rate} a second",
        _replay,
        (_RATE,),
        targets=(1, 3),
    ),
    Kind(
        "noise",
        "hostile",
        "somebody sends random bytes to {who}, {rate} times a second",
        _noise,
        (_RATE,),
        targets=(1, 3),
    ),
    Kind(
        "forgery",
        "hostile",
        "somebody repeats datagrams to {who} with a bit changed, {rate} a second",
        _forgery,
        (_RATE,),
        targets=(1, 3),
    ),
    Kind(
        "liar",
        "hostile",
        "{source}, a member, forges what others say of {destination}",
        _liar,
        (Param("rate", 0.5, 5.0),),
        targets=(2, 2),
        real=False,
    ),
    Kind(
        "false_refusal",
        "hostile",
        "somebody claims {rate} times a second that {who} is gone",
        _false_refusal,
        (Param("rate", 0.5, 5.0),),
    ),
)
