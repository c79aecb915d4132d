"""The table of attacks: {outsider, replayer, insider, colluders} x {what they try}.

Real Ed25519 throughout. Eight nodes, so a member has five observers and three of their votes kill;
the colluders are two of the victim's own observers, one short of that. Every attack is repeated for
a while against everybody, at whatever incarnation the victim has reached by then. What must hold in
each cell: nobody but the attackers is ever deceived, and what was refused is counted, with the name
of who sent it where a member did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from hashlib import sha256
from time import process_time

import attrs
import pytest
from attackers import a_record, a_vote, gossip, inject, judges_of

from mesh.swim.effects import State
from mesh.swim.messages import INCARNATION_MAX, Statement, pack, prefix_of
from mesh.swim.records import Record, body_of
from mesh.swim.sealed import Sealer, SealerConfig
from mesh.types import Address, NodeId
from sim.signatures import RealSignatures
from sim.swim_world import Change, SwimNode, SwimWorld, node_key

NODES = 8
VICTIM = 2
ROUNDS = 10
EVIL: Address = ("10.66.6.6", 666)
INVENTED = 20_000
SEEDS = {node_key(each)[0]: f"simulated node {each}".encode() for each in range(NODES)}


def real_keys(node: NodeId) -> RealSignatures:
    return RealSignatures(sha256(SEEDS[node]).digest())


@attrs.define
class Scene:
    """A mesh, its victim, and everything that was ever said about anybody in it."""

    mesh: SwimWorld
    victim: SwimNode
    overheard: list[bytes] = attrs.field(factory=list)
    """Payloads: what an insider who only repeats has been told."""
    datagrams: list[tuple[bytes, Address]] = attrs.field(factory=list)

    @property
    def judges(self) -> list[SwimNode]:
        return list(judges_of(self.mesh, self.victim))

    def others(self, attackers: Iterable[SwimNode]) -> list[SwimNode]:
        out = {self.victim.index, *(each.index for each in attackers)}
        return [node for node in self.mesh.nodes if node.index not in out and node.host.running]


def a_scene() -> Scene:
    """The victim has a past: it was accused and refuted, left, and came back."""
    mesh = SwimWorld(3, NODES, signatures=real_keys)
    scene = Scene(mesh, mesh[VICTIM])
    mesh.network.taps.append(lambda data, _source, to: scene.datagrams.append((data, to)))
    mesh.start_all()
    assert mesh.run_until(mesh.converged, within_s=10)
    judge = scene.judges[0]
    scene.overheard.append(gossip([a_record(mesh, scene.victim, scene.victim)]))
    accusation = gossip([a_vote(mesh, judge, scene.victim) for judge in scene.judges[:2]])
    scene.overheard.append(accusation)
    inject(mesh, judge, scene.others([judge])[0], accusation)
    mesh.run(3)
    scene.victim.leave()
    mesh.run(1)
    scene.overheard.append(gossip([scene.victim.endpoint._swim._facts.table.own.statement]))
    scene.victim.restart()
    scene.victim.join(mesh[0])
    assert mesh.run_until(mesh.converged, within_s=10)
    mesh.run(2)
    mesh.network.taps.clear()
    mesh.changes.clear()
    return scene


# -- what is tried ---------------------------------------------------------------------------------
def forged_death(scene: Scene, keys: list[SwimNode]) -> list[Statement]:
    """Votes of as many judges as it takes: those of the attackers genuine, the rest signed by one
    of them."""
    genuine = [a_vote(scene.mesh, each, scene.victim) for each in keys]
    rest = [each for each in scene.judges if each not in keys]
    return genuine + [a_vote(scene.mesh, each, scene.victim, keys[0]) for each in rest]


def forged_leave(scene: Scene, keys: list[SwimNode]) -> list[Statement]:
    return [a_record(scene.mesh, scene.victim, keys[0], left=True)]


def highest_incarnation(scene: Scene, keys: list[SwimNode]) -> list[Statement]:
    own = scene.victim.endpoint._swim._facts.table.own.record
    high = a_vote(scene.mesh, keys[0], scene.victim)
    charge = scene.mesh.signatures(keys[0].node_id)
    body = high.body.replace(
        own.epoch.to_bytes(8, "big"), (own.epoch + 1_000_000).to_bytes(8, "big")
    )
    future = Statement(body, charge.sign_statement(body), "")
    return [future, a_record(scene.mesh, scene.victim, keys[0], incarnation=INCARNATION_MAX)]


def takeover(scene: Scene, keys: list[SwimNode]) -> list[Statement]:
    own = scene.victim.endpoint._swim._facts.table.own.record
    changes = {"incarnation": own.incarnation + 1, "host": EVIL[0], "swim_port": EVIL[1]}
    return [a_record(scene.mesh, scene.victim, keys[0], **changes)]


def resurrection(scene: Scene, keys: list[SwimNode]) -> list[Statement]:
    """The victim is dead by now; its old records, and a new one that it did not sign."""
    own = scene.victim.endpoint._swim._facts.table.own
    newer = a_record(scene.mesh, scene.victim, keys[0], incarnation=own.record.incarnation + 1)
    return [own.statement, newer]


Attack = Callable[[Scene, list[SwimNode]], list[Statement]]
ATTACKS = [forged_death, forged_leave, highest_incarnation, takeover, resurrection]


# -- who tries it ----------------------------------------------------------------------------------
def outsider(scene: Scene, attack: Attack) -> list[SwimNode]:
    """Has a key that nobody admitted, and tries it in its own name and in that of a member."""
    stranger, secret = node_key(1000)
    payload = gossip(attack(scene, [scene.mesh[0]]))
    for target in scene.others([]):
        for name in (stranger, scene.mesh[0].node_id):
            forger = Sealer(SealerConfig(name, secret, target.epoch + 1, 0))
            forger.set_members([target.node_id])
            forger.hint(target.node_id, target.epoch)
            datagram = forger.seal(target.node_id, payload)
            if datagram is not None:
                scene.mesh.network.deliver(datagram, EVIL, target.address)
    return []


def replayer(scene: Scene, _attack: Attack) -> list[SwimNode]:
    """Repeats all datagrams ever sent and, as a member, all statements it was ever told."""
    parrot = scene.mesh[0]
    for data, to in scene.datagrams:
        scene.mesh.network.deliver(data, EVIL, to)
    for target in scene.others([parrot]):
        for payload in scene.overheard:
            inject(scene.mesh, parrot, target, payload)
    return [parrot]


def insider(scene: Scene, attack: Attack) -> list[SwimNode]:
    """One of the victim's observers."""
    return _conspire(scene, attack, scene.judges[:1])


def colluders(scene: Scene, attack: Attack) -> list[SwimNode]:
    """As many of its observers as cannot kill."""
    return _conspire(scene, attack, scene.judges[:2])


def _conspire(scene: Scene, attack: Attack, keys: list[SwimNode]) -> list[SwimNode]:
    statements = attack(scene, keys)
    for target in scene.others(keys):
        for key in keys:
            for statement in statements:
                inject(scene.mesh, key, target, gossip([statement]))
    return keys


ATTACKERS = [outsider, replayer, insider, colluders]


# -- the table -------------------------------------------------------------------------------------
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda each: each.__name__)
@pytest.mark.parametrize("attacker", ATTACKERS, ids=lambda each: each.__name__)
def test_nobody_is_deceived(
    attacker: Callable[[Scene, Attack], list[SwimNode]], attack: Attack
) -> None:
    scene = a_scene()
    mesh, victim = scene.mesh, scene.victim
    if attack is resurrection:
        victim.crash()
        assert mesh.run_until(lambda: mesh.agree(State.DEAD, victim), within_s=60)
        mesh.changes.clear()
    attackers: set[int] = set()
    for _ in range(ROUNDS):
        attackers |= {each.index for each in attacker(scene, attack)}
        mesh.run(0.7)
    deceived = [
        change
        for change in mesh.changes
        if change.observer not in attackers and _is_deceived(change, scene, attack)
    ]
    assert deceived == []
    assert mesh.run_until(mesh.converged, within_s=20)
    assert _refusals(scene, attacker, attackers) > 0, "it was tried, and it was counted"
    assert victim.endpoint._swim._facts.table.own.record.incarnation < 4 * ROUNDS


def _is_deceived(change: Change, scene: Scene, attack: Attack) -> bool:
    """Whether a change shows what the attack wanted, or anything about anybody else."""
    view = change.view
    if change.subject != scene.victim.index:
        return change.previous != view.state  # otherwise it is only a load
    if attack is resurrection:
        return view.state != State.DEAD
    return view.address != scene.victim.address or view.state > State.SUSPECT


def _refusals(scene: Scene, attacker: object, attackers: set[int]) -> int:
    """What the others counted, under a name that says who and what."""
    reasons = {
        outsider: ("seal-unknown-sender", "seal-bad-box"),
        replayer: ("seal-replay", "seal-not-fresh", "seal-stale-epoch"),
    }.get(attacker, ())  # type: ignore[call-overload]
    names = [f"lied.{prefix_of(scene.mesh[each].node_id).hex()}" for each in attackers]
    if attacker in (insider, colluders):
        reasons = tuple(names)
    counters = [node.endpoint.counters for node in scene.others([])]
    return sum(counter[reason] for counter in counters for reason in reasons)


def test_a_quorum_of_colluders_does_deceive_so_the_table_can_fail() -> None:
    scene = a_scene()
    keys = scene.judges[:3]
    for target in scene.others(keys):
        votes = [a_vote(scene.mesh, key, scene.victim) for key in keys]
        inject(scene.mesh, keys[0], target, gossip(votes))
    dead = [c for c in scene.mesh.changes if c.view.state == State.DEAD]
    assert dead
    assert scene.mesh.run_until(scene.mesh.converged, within_s=20), "and the victim refutes it"


# -- floods ----------------------------------------------------------------------------------------
def _invented() -> list[bytes]:
    """Gossip packets with records of members that nobody admitted, all well-formed."""
    statements = []
    for index in range(INVENTED):
        node = sha256(b"invented %d" % index).digest()
        made = Record(prefix_of(NodeId(node)), 1, 0, False, "10.9.9.9", 1, 2, 3)
        statements.append(Statement(body_of(made), bytes(64), ""))
    return [gossip(packet) for packet in pack([(each,) for each in statements], INVENTED)]


Flood = Callable[[Scene, SwimNode, list[bytes]], list[Callable[[], None]]]


def flood_by_outsider(
    scene: Scene, target: SwimNode, packets: list[bytes]
) -> list[Callable[[], None]]:
    """Sealed with a key that nobody admitted, in the name of a member."""
    _, secret = node_key(1000)
    name = scene.others([target])[0].node_id
    return _sealed(scene, target, packets, SealerConfig(name, secret, target.epoch + 1, 0))


def flood_by_replayer(
    scene: Scene, target: SwimNode, packets: list[bytes]
) -> list[Callable[[], None]]:
    """A member sent them once, long ago; they are repeated by somebody who has no key."""
    judge = scene.judges[0]
    _, secret = node_key(judge.index)
    old = SealerConfig(judge.node_id, secret, judge.epoch - 1, 0)
    return _sealed(scene, target, packets, old)


def flood_by_insider(
    scene: Scene, target: SwimNode, packets: list[bytes]
) -> list[Callable[[], None]]:
    liar = scene.judges[0]
    return [partial(inject, scene.mesh, liar, target, packet) for packet in packets]


def flood_by_colluders(
    scene: Scene, target: SwimNode, packets: list[bytes]
) -> list[Callable[[], None]]:
    """Turn by turn, so that silencing one would not be enough."""
    keys = scene.judges[:2]
    return [
        partial(inject, scene.mesh, keys[turn % 2], target, packet)
        for turn, packet in enumerate(packets)
    ]


def _sealed(
    scene: Scene, target: SwimNode, packets: list[bytes], keys: SealerConfig
) -> list[Callable[[], None]]:
    sealer = Sealer(keys)
    sealer.set_members([target.node_id])
    sealer.hint(target.node_id, target.epoch)
    datagrams = [sealer.seal(target.node_id, packet) for packet in packets]
    deliver = scene.mesh.network.deliver
    return [partial(deliver, data, EVIL, target.address) for data in datagrams if data is not None]


@pytest.mark.parametrize(
    ("flood", "counted"),
    [
        (flood_by_outsider, "seal-bad-box"),
        (flood_by_replayer, "seal-stale-epoch"),
        (flood_by_insider, "statement-by-non-member"),
        (flood_by_colluders, "statement-by-non-member"),
    ],
    ids=["outsider", "replayer", "insider", "colluders"],
)
def test_twenty_thousand_invented_members_cost_little_and_leave_nothing(
    flood: Flood, counted: str
) -> None:
    scene = a_scene()
    target = scene.others(scene.judges[:2])[0]
    facts = target.endpoint._swim._facts
    packets = _invented()
    sends = flood(scene, target, packets)
    before = (len(facts.table), len(facts.rumours), facts.book.voice.checked)
    refused = target.endpoint.counters[counted]
    started_s = process_time()
    for send in sends:
        send()
    spent_s = process_time() - started_s
    assert (len(facts.table), len(facts.rumours), facts.book.voice.checked) == before
    assert target.endpoint.counters[counted] - refused >= len(packets)
    assert spent_s / len(packets) <= 0.0004, "0.2 ms on an idle machine, and this one may be busy"


def test_bad_signatures_cost_one_check_and_then_the_sender_its_voice() -> None:
    scene = a_scene()
    target, liar = scene.others([])[0], scene.judges[0]
    facts = target.endpoint._swim._facts
    before = facts.book.voice.checked
    for incarnation in range(1, 500):
        forged = a_record(scene.mesh, scene.victim, liar, incarnation=incarnation)
        inject(scene.mesh, liar, target, gossip([forged]))
    assert facts.book.voice.checked == before + 1
    assert target.endpoint.counters["from-liar"] == 498


def test_a_member_that_renews_itself_endlessly_is_slowed_down() -> None:
    scene = a_scene()
    restless = scene.judges[0]
    target = scene.others([restless])[0]
    facts = target.endpoint._swim._facts
    before = facts.book.voice.checked
    for incarnation in range(1, 500):
        renewed = a_record(scene.mesh, restless, restless, incarnation=incarnation)
        inject(scene.mesh, restless, target, gossip([renewed]))
    assert facts.book.voice.checked - before <= 20
    assert target.endpoint.counters["record-too-often"] >= 400
