"""Floods: twenty thousand invented members, and statements that would each cost a check.

By the same four attackers as in the table of attacks. What must hold: what is refused leaves
nothing behind, is counted, is not answered, and is refused before anything expensive is done.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from hashlib import sha256
from time import process_time

import pytest
from attack_bounds import BYTES_PER_NOTICE, Costs, room_for
from attack_scene import EVIL, Scene, a_scene, had_left
from attackers import a_record, gossip, inject

from mesh.swim.messages import Statement, pack, prefix_of
from mesh.swim.records import Record, body_of
from mesh.swim.sealed import Sealer, SealerConfig
from mesh.types import NodeId
from sim.swim_world import SwimNode, node_key

INVENTED = 20_000


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
    scene = a_scene(had_left)
    target = scene.others(scene.judges[:2])[0]
    packets = _invented()
    sends = flood(scene, target, packets)
    costs = Costs(scene.mesh, [target])
    refused = target.endpoint.counters[counted]
    started_s = process_time()
    for send in sends:
        send()
    spent_s = process_time() - started_s
    costs.look()
    assert costs.overgrown(room_for(0)) == []
    assert costs.checks() == 0
    assert costs.most_sent_bytes(attackers=()) <= BYTES_PER_NOTICE, "nobody is answered"
    assert target.endpoint.counters[counted] - refused >= len(packets)
    assert spent_s / len(packets) <= 0.0004, "0.2 ms on an idle machine, and this one may be busy"


def test_bad_signatures_cost_one_check_and_then_the_sender_its_voice() -> None:
    scene = a_scene(had_left)
    target, liar = scene.others([])[0], scene.judges[0]
    facts = target.endpoint._swim._facts
    before = facts.book.voice.checked
    for incarnation in range(1, 500):
        forged = a_record(scene.mesh, scene.victim, liar, incarnation=incarnation)
        inject(scene.mesh, liar, target, gossip([forged]))
    assert facts.book.voice.checked == before + 1
    assert target.endpoint.counters["from-liar"] == 498


def test_a_member_that_renews_itself_endlessly_is_slowed_down() -> None:
    scene = a_scene(had_left)
    restless = scene.judges[0]
    target = scene.others([restless])[0]
    facts = target.endpoint._swim._facts
    before = facts.book.voice.checked
    for incarnation in range(1, 500):
        renewed = a_record(scene.mesh, restless, restless, incarnation=incarnation)
        inject(scene.mesh, restless, target, gossip([renewed]))
    assert facts.book.voice.checked - before <= 20
    assert target.endpoint.counters["record-too-often"] >= 400
