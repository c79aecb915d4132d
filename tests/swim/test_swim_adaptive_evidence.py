"""Hard evidence: refusals that quote what we sent, and signs of life by another way."""

from __future__ import annotations

import attrs
import pytest

from mesh.ports import Refused
from mesh.swim.config import LAN
from mesh.swim.effects import State
from mesh.types import Address
from sim.net import Link
from sim.swim_world import SwimNode, SwimWorld

GONE = (State.DEAD, State.UNREACHABLE)


def a_mesh(seed: int, nodes: int, link: Link | None = None) -> SwimWorld:
    mesh = SwimWorld(seed, nodes, LAN, link)
    mesh.start_all()
    assert mesh.run_until(mesh.converged, within_s=20), "no convergence"
    return mesh


def gone_everywhere(mesh: SwimWorld, subject: SwimNode) -> bool:
    others = [node for node in mesh.nodes if node is not subject and node.host.running]
    return all(node.sees(subject) in GONE for node in others)


@pytest.mark.parametrize("nodes", [3, 16])
@pytest.mark.parametrize("seed", range(3))
def test_a_killed_process_is_known_within_a_second_of_its_first_probe(
    nodes: int, seed: int
) -> None:
    mesh = a_mesh(seed, nodes)
    mesh.run(3)
    victim = mesh[nodes - 1]
    victim.kill()
    for node in mesh.nodes[:-1]:  # what their broken streams make of it
        node.host.act(node.endpoint.doubt(victim.node_id, mesh.world.now_s))
    assert mesh.run_until(lambda: gone_everywhere(mesh, victim), within_s=1)
    mesh.run(10)
    assert {death.subject for death in mesh.deaths()} <= {victim.index}


def test_a_process_restarted_at_once_is_not_buried_for_long() -> None:
    mesh = a_mesh(5, 6)
    mesh.run(3)
    mesh[4].kill()
    mesh.run(0.5)
    mesh[4].restart()
    mesh[4].join(mesh[0])
    assert mesh.run_until(mesh.converged, within_s=3)


def test_a_forged_refusal_proves_nothing() -> None:
    mesh = a_mesh(6, 4)
    victim = mesh[2]
    for _ in range(50):
        for node in (mesh[0], mesh[1], mesh[3]):
            mesh.network.forge_refusal(node.address, victim.address, bytes(100))
        mesh.run(0.1)
    assert mesh[0].endpoint.counters["refusal-not-ours"] == 50
    assert mesh[0].endpoint.counters["accused"] == 0
    assert mesh.converged()


def test_a_refusal_that_quotes_a_real_datagram_works_once_and_only_for_its_address() -> None:
    mesh = a_mesh(7, 4)
    sent: list[tuple[bytes, Address]] = []

    def tap(data: bytes, source: Address, destination: Address) -> None:
        if source == mesh[0].address and destination == mesh[2].address:
            sent.append((data, destination))

    mesh.network.taps.append(tap)
    assert mesh.run_until(lambda: bool(sent), within_s=10)
    data, address = sent[0]
    now_s = mesh.world.now_s
    counters = mesh[0].endpoint.counters["refusals"]
    elsewhere: Address = ("10.9.9.9", 1)
    mesh[0].host.act(mesh[0].endpoint.refused(elsewhere, data, now_s))
    assert mesh[0].endpoint.counters["refusals"] == counters
    mesh[0].host.act(mesh[0].endpoint.refused(address, data[:8], now_s))
    assert mesh[0].endpoint.counters["refusals"] == counters, "eight bytes prove nothing"


def test_a_member_heard_since_is_not_accused_by_a_late_refusal() -> None:
    mesh = a_mesh(8, 4)
    subject, observer = mesh[2], mesh[0]
    refused: list[Refused] = []

    def tap(data: bytes, source: Address, destination: Address) -> None:
        if source == observer.address and destination == subject.address:
            refused.append(Refused(destination, data))

    mesh.network.taps.append(tap)
    heard: list[bytes] = []

    def back(data: bytes, source: Address, destination: Address) -> None:
        if refused and source == subject.address and destination == observer.address:
            heard.append(data)

    assert mesh.run_until(lambda: bool(refused), within_s=10)
    mesh.network.taps.append(back)
    assert mesh.run_until(lambda: bool(heard), within_s=2.5)
    mesh.run(0.1)  # a datagram of its has come since
    now_s = mesh.world.now_s
    observer.host.act(observer.endpoint.refused(subject.address, refused[0].quoted, now_s))
    assert observer.endpoint.counters["refusals"] == 1
    assert observer.sees(subject) == State.ALIVE


def test_without_the_switch_refusals_are_ignored() -> None:
    mesh = SwimWorld(9, 4, attrs.evolve(LAN, refusals=False))
    mesh.start_all()
    assert mesh.run_until(mesh.converged, within_s=20)
    mesh[3].kill()
    mesh.run(1.5)
    assert mesh[0].sees(mesh[3]) == State.ALIVE


def test_bytes_on_a_stream_keep_a_member_alive_that_datagrams_do_not_reach() -> None:
    mesh = a_mesh(10, 6)
    subject = mesh[3]
    mesh.network.isolate(subject.address[0])
    for _ in range(60):
        mesh.run(1)
        for node in mesh.nodes:
            if node is not subject:
                node.host.act(node.endpoint.heard(subject.node_id, mesh.world.now_s))
                subject.host.act(subject.endpoint.heard(node.node_id, mesh.world.now_s))
    assert mesh.agree(State.ALIVE, subject)
    assert not mesh.deaths()
