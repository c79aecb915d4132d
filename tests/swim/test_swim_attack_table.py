"""The table of attacks: {outsider, replayer, insider, colluders} x {what they try}.

Real Ed25519 throughout. Eight nodes, so a member has five observers and three of their votes kill;
the colluders are two of the victim's own observers, one short of that. Every attack is repeated for
a while against everybody, at whatever incarnation the victim has reached by then. What must hold in
each cell: nobody but the attackers is ever deceived; what was refused is counted, with the name of
who sent it where a member did; and it costs no more signatures, memory and traffic than is named in
`attack_bounds`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container

import attrs
import pytest
from attack_bounds import (
    BYTES_PER_INSIDER_AND_S,
    BYTES_PER_NOTICE,
    CHECKS_PER_INSIDER_AND_S,
    QUIET_BYTES_PER_S,
    Costs,
    room_for,
)
from attack_scene import (
    EVIL,
    NODES,
    Past,
    Scene,
    a_scene,
    had_left,
    is_dead,
    lived_elsewhere,
    was_at_the_top,
    was_buried,
)
from attackers import a_record, a_vote, gossip, inject

from mesh.swim.effects import State
from mesh.swim.messages import INCARNATION_MAX, Statement, prefix_of
from mesh.swim.sealed import Sealer, SealerConfig
from sim.swim_world import Change, SwimNode, node_key

ROUNDS = 10
ROUND_S = 0.7
LAST_ROUNDS = 2
"""In these, forgeries are tried even if they cost the attackers their voice."""
FUTURE_MS = 1_000_000


# -- what is tried ---------------------------------------------------------------------------------
@attrs.frozen
class Tried:
    """Statements: those of the attackers' own, with their own signatures, and those in the name of
    others. Whoever passes on one of the latter is not listened to for a while."""

    genuine: list[Statement] = attrs.field(factory=list)
    forged: list[Statement] = attrs.field(factory=list)
    to_victim: bool = False
    """Whether the victim itself is told, too."""


def forged_death(scene: Scene, keys: list[SwimNode]) -> Tried:
    """Votes of as many judges as it takes: those of the attackers genuine, the rest signed by one
    of them."""
    genuine = [a_vote(scene.mesh, each, scene.victim) for each in keys]
    rest = [each for each in scene.judges if each not in keys]
    return Tried(genuine, [a_vote(scene.mesh, each, scene.victim, keys[0]) for each in rest])


def forged_leave(scene: Scene, keys: list[SwimNode]) -> Tried:
    return Tried(forged=[a_record(scene.mesh, scene.victim, keys[0], left=True)])


def highest_incarnation(scene: Scene, keys: list[SwimNode]) -> Tried:
    """Charges and votes against incarnations that the victim would have to outdo and cannot: the
    highest, the one before, those of an epoch to come; and records that claim to be them."""
    epoch = scene.victim.endpoint.epoch
    tops = [(epoch, INCARNATION_MAX), (epoch, INCARNATION_MAX - 1), (epoch + FUTURE_MS, 0)]
    genuine = [
        a_vote(scene.mesh, key, scene.victim, epoch=at, incarnation=incarnation, vote=vote)
        for key in keys
        for at, incarnation in tops
        for vote in (False, True)
    ]
    forged = [
        a_record(scene.mesh, scene.victim, keys[0], incarnation=incarnation)
        for incarnation in (INCARNATION_MAX, INCARNATION_MAX - 1)
    ]
    return Tried(genuine, forged, to_victim=True)


def takeover(scene: Scene, keys: list[SwimNode]) -> Tried:
    own = scene.victim.endpoint._swim._facts.table.own.record
    changes = {"incarnation": own.incarnation + 1, "host": EVIL[0], "swim_port": EVIL[1]}
    return Tried(forged=[a_record(scene.mesh, scene.victim, keys[0], **changes)])


def resurrection(scene: Scene, keys: list[SwimNode]) -> Tried:
    """The victim is dead by now; its old record, and a new one that it did not sign."""
    own = scene.victim.endpoint._swim._facts.table.own
    newer = a_record(scene.mesh, scene.victim, keys[0], incarnation=own.record.incarnation + 1)
    return Tried([own.statement], [newer])


Attack = Callable[[Scene, list[SwimNode]], Tried]
ATTACKS: dict[Attack, Past] = {
    forged_death: was_buried,
    forged_leave: had_left,
    highest_incarnation: was_at_the_top,
    takeover: lived_elsewhere,
    resurrection: is_dead,
}
"""With the past in which just that happened to the victim, so that it can be replayed."""


# -- who tries it ----------------------------------------------------------------------------------
def outsider(scene: Scene, attack: Attack, _turn: int) -> list[SwimNode]:
    """Has a key that nobody admitted, and tries it in its own name and in that of a member."""
    stranger, secret = node_key(1000)
    tried = attack(scene, [scene.mesh[0]])
    payload = gossip(tried.genuine + tried.forged)
    for target in scene.others([]) + [scene.victim] * tried.to_victim:
        for name in (stranger, scene.mesh[0].node_id):
            forger = Sealer(SealerConfig(name, secret, target.endpoint.epoch + 1, 0))
            forger.set_members([target.node_id])
            forger.hint(target.node_id, target.endpoint.epoch)
            datagram = forger.seal(target.node_id, payload)
            if datagram is not None:
                scene.mesh.network.deliver(datagram, EVIL, target.address)
    return []


def replayer(scene: Scene, _attack: Attack, _turn: int) -> list[SwimNode]:
    """Repeats, without a key, all datagrams from when it really happened; and, as a member, every
    statement about it, which were genuine then and are still signed by whom they name."""
    parrot = scene.mesh[0]
    for data, to in scene.datagrams:
        scene.mesh.network.deliver(data, EVIL, to)
    for target in scene.others([parrot]) + [scene.victim] * scene.victim.host.running:
        for payload in scene.overheard:
            inject(scene.mesh, parrot, target, payload)
    return [parrot]


def insider(scene: Scene, attack: Attack, turn: int) -> list[SwimNode]:
    """One of the victim's observers."""
    return _conspire(scene, attack, scene.judges[:1], turn)


def colluders(scene: Scene, attack: Attack, turn: int) -> list[SwimNode]:
    """As many of its observers as cannot kill."""
    return _conspire(scene, attack, scene.judges[:2], turn)


def _conspire(scene: Scene, attack: Attack, keys: list[SwimNode], turn: int) -> list[SwimNode]:
    tried = attack(scene, keys)
    statements = list(tried.genuine)
    if not statements or turn >= ROUNDS - LAST_ROUNDS:
        statements += tried.forged
    for target in scene.others(keys) + [scene.victim] * tried.to_victim:
        for key in keys:
            for statement in statements:
                inject(scene.mesh, key, target, gossip([statement]))
    return keys


Attacker = Callable[[Scene, Attack, int], list[SwimNode]]
ATTACKERS: dict[Attacker, int] = {outsider: 0, replayer: 0, insider: 1, colluders: 2}
"""With the number of members who say what is not so."""


# -- the table -------------------------------------------------------------------------------------
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda each: each.__name__)
@pytest.mark.parametrize("attacker", ATTACKERS, ids=lambda each: each.__name__)
def test_nobody_is_deceived(attacker: Attacker, attack: Attack) -> None:
    scene = a_scene(ATTACKS[attack])
    mesh, victim = scene.mesh, scene.victim
    incarnation = victim.endpoint._swim._facts.table.own.record.incarnation
    costs = Costs(mesh, [node for node in mesh.nodes if node.host.running])
    before = _refusals(scene)
    attackers: dict[int, SwimNode] = {}
    for turn in range(ROUNDS):
        attackers |= {each.index: each for each in attacker(scene, attack, turn)}
        costs.look()
        mesh.run(ROUND_S)
        costs.look()
    deceived = [
        change
        for change in mesh.changes
        if change.observer not in attackers and _is_deceived(change, scene, attack)
    ]
    assert deceived == []
    counted = _refusals(scene)
    counted.subtract(before)
    for reason in _expected(attacker, attack, list(attackers.values())):
        assert counted[reason] > 0, "it was tried, and it was counted"
    _assert_bounded(costs, attacker, attackers)
    assert mesh.run_until(mesh.converged, within_s=20)
    risen = victim.endpoint._swim._facts.table.own.record.incarnation - incarnation
    assert 0 <= risen < 4 * ROUNDS


def _is_deceived(change: Change, scene: Scene, attack: Attack) -> bool:
    """Whether a change shows what the attack wanted, or anything about anybody else."""
    view = change.view
    if change.subject != scene.victim.index:
        return change.previous != view.state  # otherwise it is only a load
    if attack is resurrection:
        return view.state != State.DEAD
    return view.address != scene.victim.address or view.state > State.SUSPECT


def _refusals(scene: Scene) -> Counter[str]:
    """All that everybody who runs has counted."""
    total: Counter[str] = Counter()
    for node in scene.mesh.nodes:
        if node.host.running:
            total += node.endpoint.counters
    return total


def _expected(attacker: Attacker, attack: Attack, attackers: list[SwimNode]) -> list[str]:
    """Under which names what was tried must have been counted."""
    if attacker is outsider:
        return ["seal-unknown-sender", "seal-bad-box"]
    if attacker is replayer:
        one_life = attack is resurrection
        return (
            ["seal-replay"] if one_life else ["seal-replay", "seal-not-fresh", "seal-stale-epoch"]
        )
    lied = [f"lied.{prefix_of(each.node_id).hex()}" for each in attackers]
    if attack is forged_death:
        lied.append("refuted")
    if attack is highest_incarnation:
        lied.append("charge-of-future")
    return lied


def _assert_bounded(costs: Costs, attacker: Attacker, attackers: Container[int]) -> None:
    """Processor, memory and traffic, all as counts."""
    insiders, lasted_s = ATTACKERS[attacker], costs.lasted_s
    assert costs.overgrown(room_for(insiders)) == []
    assert costs.checks() <= insiders * CHECKS_PER_INSIDER_AND_S * lasted_s
    answers_bytes = insiders * BYTES_PER_INSIDER_AND_S * lasted_s
    if attacker is replayer:
        answers_bytes = ROUNDS * (NODES - 1) * BYTES_PER_NOTICE
    assert costs.most_sent_bytes(attackers) <= QUIET_BYTES_PER_S * lasted_s + answers_bytes


def test_a_quorum_of_colluders_does_deceive_so_the_table_can_fail() -> None:
    scene = a_scene(had_left)
    keys = scene.judges[:3]
    for target in scene.others(keys):
        votes = [a_vote(scene.mesh, key, scene.victim) for key in keys]
        inject(scene.mesh, keys[0], target, gossip(votes))
    dead = [c for c in scene.mesh.changes if c.view.state == State.DEAD]
    assert dead
    assert scene.mesh.run_until(scene.mesh.converged, within_s=20), "and the victim refutes it"
