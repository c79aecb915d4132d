"""What outsiders, eavesdroppers and replayers achieve: nothing."""

from __future__ import annotations

from random import Random

import pytest
from attackers import a_vote, gossip, inject, judges_of
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.limits import DATAGRAM_BYTES_MAX
from mesh.swim.effects import At, State
from mesh.swim.messages import prefix_of
from mesh.swim.sealed import Sealer, SealerConfig
from mesh.types import Address
from sim.swim_world import SwimWorld, node_key

EVIL: Address = ("10.66.6.6", 666)


def a_mesh(nodes: int = 4) -> SwimWorld:
    mesh = SwimWorld(1, nodes)
    mesh.start_all()
    assert mesh.run_until(mesh.converged, within_s=10)
    mesh.run(5)
    return mesh


def a_death_of(mesh: SwimWorld, index: int) -> bytes:
    """The payload that kills a member: the votes of all its observers."""
    subject = mesh[index]
    return gossip(a_vote(mesh, judge, subject) for judge in judges_of(mesh, subject))


def test_whoever_holds_the_keys_of_a_quorum_can_kill_with_that_payload() -> None:
    """The attack works then, so the tests below test something."""
    mesh = a_mesh(nodes=8)
    victim = mesh[2]
    judges = judges_of(mesh, victim)
    target = next(node for node in mesh.nodes if node is not victim and node not in judges)
    inject(mesh, judges[0], target, a_death_of(mesh, 2))
    assert target.sees(victim) == State.DEAD
    assert mesh.run_until(mesh.converged, within_s=5), "and is refuted by its victim"


def test_a_stranger_with_a_key_of_its_own_changes_nothing() -> None:
    mesh = a_mesh()
    stranger, secret = node_key(1000)
    target = mesh[0]
    forger = Sealer(SealerConfig(stranger, secret, target.epoch, 0))
    forger.set_members([target.node_id])
    forger.hint(target.node_id, target.epoch)
    datagram = forger.seal(target.node_id, a_death_of(mesh, 2))
    assert datagram is not None
    mesh.network.deliver(datagram, EVIL, target.address)
    assert target.sees(mesh[2]) == State.ALIVE
    assert target.endpoint.counters["seal-unknown-sender"] == 1


def test_a_stranger_in_the_name_of_a_member_changes_nothing() -> None:
    mesh = a_mesh()
    _, secret = node_key(1000)
    target = mesh[0]
    forger = Sealer(SealerConfig(mesh[1].node_id, secret, target.epoch + 1, 0))
    forger.set_members([target.node_id])
    forger.hint(target.node_id, target.epoch)
    datagram = forger.seal(target.node_id, a_death_of(mesh, 2))
    assert datagram is not None
    mesh.network.deliver(datagram, EVIL, target.address)
    assert target.sees(mesh[2]) == State.ALIVE
    assert target.endpoint.counters["seal-bad-box"] == 1


@pytest.mark.parametrize("restart", [False, True])
def test_everything_ever_sent_replayed_does_nothing(restart: bool) -> None:
    mesh = SwimWorld(2, 4)
    recorded: list[tuple[bytes, Address]] = []
    mesh.network.taps.append(lambda data, _source, to: recorded.append((data, to)))
    mesh.start_all()
    mesh.run(20)
    mesh.network.taps.clear()
    target = mesh[0]
    if restart:
        target.restart()
        target.host.act([])
    before = (target.endpoint.table_hash, target.endpoint.snapshot(), len(mesh.changes))
    sent_before = mesh.network.counters["sent"]
    replayed = [data for data, to in recorded if to == target.address]
    assert len(replayed) > 20
    for data in replayed:
        mesh.network.deliver(data, EVIL, target.address)
    after = (target.endpoint.table_hash, target.endpoint.snapshot(), len(mesh.changes))
    assert after == before
    reason = "seal-not-fresh" if restart else "seal-replay"
    assert target.endpoint.counters[reason] >= len(replayed) * 0.9
    answers = mesh.network.counters["sent"] - sent_before
    assert answers <= 3, "at most one notice per peer and interval"


def test_a_replayed_flood_is_not_amplified() -> None:
    mesh = a_mesh()
    recorded: list[bytes] = []
    mesh.network.taps.append(
        lambda data, _s, to: recorded.append(data) if to == mesh[0].address else None
    )
    mesh.run(5)
    mesh.network.taps.clear()
    mesh[0].restart()
    before = mesh.network.counters["sent-bytes"]
    for data in recorded * 10:
        mesh.network.deliver(data, EVIL, mesh[0].address)
    answered_bytes = mesh.network.counters["sent-bytes"] - before
    assert 0 < answered_bytes < sum(map(len, recorded))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=DATAGRAM_BYTES_MAX + 10), st.integers(0, 3))
def test_any_bytes_from_outside_are_dropped_and_counted(data: bytes, as_member: int) -> None:
    header = b"\x01" + prefix_of(node_key(as_member)[0])
    mesh = SwimWorld(3, 4)
    endpoint = mesh[0].endpoint
    for datagram in (data, header + data):
        assert endpoint.receive(datagram, EVIL, 0.0) == []
    assert sum(endpoint.counters.values()) == 2


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_bytes_from_a_member_do_not_raise(data: st.DataObject) -> None:
    """A member's software may be broken: mutate and truncate real messages, or send noise."""
    mesh = _CORPUS_MESH
    payload = data.draw(st.one_of(st.binary(max_size=64), st.sampled_from(_corpus())))
    mutable = bytearray(payload)
    for _ in range(data.draw(st.integers(0, 4))):
        if mutable:
            mutable[data.draw(st.integers(0, len(mutable) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(mutable)))
    swim = mesh[0].endpoint._swim
    now_s = mesh.world.now_s
    swim.receive(mesh[1].node_id, bytes(mutable[: cut or None]), At(EVIL, now_s), now_s)
    swim.handle_timer(mesh.world.now_s)


def _corpus() -> list[bytes]:
    return _CORPUS_PAYLOADS


def _make_corpus() -> tuple[SwimWorld, list[bytes]]:
    """Real payloads of all kinds, taken between sealing ends."""
    mesh = SwimWorld(4, 6)
    payloads: list[bytes] = []
    for node in mesh.nodes:
        seal = node.endpoint._sealer.seal

        def spy(to, payload, seal=seal):  # type: ignore[no-untyped-def]
            payloads.append(payload)
            return seal(to, payload)

        node.endpoint._sealer.seal = spy  # type: ignore[method-assign]
    mesh.start_all()
    mesh.run(5)
    mesh[5].crash()
    mesh.run(15)
    chosen = Random(1).sample(payloads, 40)
    kinds = {payload[2] for payload in payloads}
    assert len(kinds) >= 7, "all kinds of messages but Buckets"
    return mesh, chosen


_CORPUS_MESH, _CORPUS_PAYLOADS = _make_corpus()
