"""Helpers that lie: not their word keeps a member alive, but its own signature."""

from __future__ import annotations

from collections import Counter

import pytest

from mesh.limits import SWIM_PROOFS_PER_S_MAX
from mesh.swim.book import Book
from mesh.swim.effects import SendDatagram, State
from mesh.swim.membership import Origin
from mesh.swim.messages import PingFor, Relayed, Statement, Witness, prefix_of
from mesh.swim.proofs import Proofs
from mesh.swim.records import Answer, body_of
from mesh.types import Address, NodeId
from sim.net import Link
from sim.swim_world import SwimNode, SwimWorld

GONE = (State.DEAD, State.UNREACHABLE)


def a_mesh(seed: int, nodes: int, loss: float = 0.0) -> SwimWorld:
    mesh = SwimWorld(seed, nodes, link=Link(loss=loss))
    mesh.start_all()
    assert mesh.run_until(mesh.converged, within_s=20)
    mesh.run(3)
    return mesh


def signed_by(mesh: SwimWorld, signer: SwimNode, said: Answer) -> Statement:
    body = body_of(said)
    return Statement(body, mesh.signatures(signer.node_id).sign_statement(body), "")


def make_liar(mesh: SwimWorld, liar: SwimNode, kept: list[Statement]) -> None:
    """Whoever asks it about anybody hears: it lives; with whatever it can make for a proof."""
    prober = liar.endpoint._swim._prober

    def lie(sender: NodeId, request: PingFor, source: Address, now_s: float) -> list[SendDatagram]:
        said = Answer(request.target, prefix_of(sender), request.nonce)
        forged = [signed_by(mesh, liar, said), *kept]
        own = Answer(prefix_of(liar.node_id), prefix_of(sender), request.nonce)
        forged.append(signed_by(mesh, liar, own))
        return [
            prober._packets.to(sender, source, Relayed(request.number, proof, ()))
            for proof in forged
        ]

    prober.on_ping_for = lie  # type: ignore[method-assign]


@pytest.mark.parametrize("seed", range(3))
def test_a_lying_helper_does_not_keep_a_dead_member_alive(seed: int) -> None:
    mesh = a_mesh(seed, 7)  # so that everybody is asked
    subject, liar = mesh[3], mesh[5]
    # It has even a proof that the member signed for it when it lived.
    old = signed_by(mesh, subject, Answer(prefix_of(subject.node_id), bytes(8), bytes(8)))
    make_liar(mesh, liar, [old])
    subject.crash()
    honest = [node for node in mesh.nodes if node not in (subject, liar)]
    assert mesh.run_until(lambda: all(n.sees(subject) in GONE for n in honest), within_s=8)
    assert sum(node.endpoint.counters["relay-unproved"] for node in honest) > 0
    assert {death.subject for death in mesh.deaths()} <= {subject.index}


def test_a_member_behind_a_broken_path_is_kept_alive_by_its_own_signature() -> None:
    mesh = a_mesh(4, 6)
    one, other = mesh[1], mesh[4]
    mesh.network.cut(one.address[0], other.address[0])
    mesh.network.cut(other.address[0], one.address[0])
    mesh.run(30)
    assert one.endpoint.counters["accused"] == 0
    assert one.sees(other) == other.sees(one) == State.ALIVE
    assert all(node.endpoint.counters["relay-unproved"] == 0 for node in mesh.nodes)


def test_a_starved_member_proves_itself_through_helpers_however_late() -> None:
    mesh = a_mesh(6, 12, loss=0.05)
    rng = mesh.world.rng("starvation")
    mesh[7].host.starved = lambda: 0.5 + 2 * rng.random()
    mesh.run(60)
    assert not mesh.deaths()


# -- the parts ---------------------------------------------------------------------------------
def proofs_of(node: SwimNode) -> tuple[Proofs, Book]:
    swim = node.endpoint._swim
    return swim._prober.proofs, swim._facts.book


def test_a_proof_counts_once_for_one_asker_one_member_and_one_ping() -> None:
    mesh = a_mesh(1, 4)
    asker, member, third = mesh[0], mesh[1], mesh[2]
    proofs, _ = proofs_of(asker)
    nonce = proofs.ask(900, member.node_id)
    other_nonce = proofs.ask(901, member.node_id)
    assert nonce != other_nonce
    witness = Witness(prefix_of(asker.node_id), nonce)
    now_s = mesh.world.now_s
    proof = proofs_of(member)[0].answer(witness, now_s)
    by_third = proofs_of(third)[0].answer(witness, now_s)
    assert not proofs.proves(901, proof), "another ping"
    assert not proofs.proves(900, by_third), "another member"
    assert not proofs_of(third)[0].proves(900, proof), "another asker"
    assert not proofs.proves(900, None)
    assert proofs.proves(900, proof)
    assert not proofs.proves(900, proof), "once"


def test_signing_for_others_is_bounded_per_second() -> None:
    mesh = a_mesh(2, 3)
    proofs, book = proofs_of(mesh[1])
    witness = Witness(prefix_of(mesh[0].node_id), bytes(8))
    now_s = mesh.world.now_s + 10
    made = [proofs.answer(witness, now_s) for _ in range(3 * SWIM_PROOFS_PER_S_MAX)]
    assert Counter(each is None for each in made)[False] == SWIM_PROOFS_PER_S_MAX
    assert book.counters["proofs-refused"] == 2 * SWIM_PROOFS_PER_S_MAX
    assert proofs.answer(witness, now_s + 1) is not None


def test_an_answer_that_is_gossiped_changes_nothing() -> None:
    mesh = a_mesh(3, 3)
    said = Answer(prefix_of(mesh[1].node_id), prefix_of(mesh[0].node_id), bytes(8))
    facts = mesh[0].endpoint._swim._facts
    before = facts.table.hash
    origin = Origin(prefix_of(mesh[2].node_id), "10.0.0.2")
    assert facts.hear((signed_by(mesh, mesh[1], said),), origin, mesh.world.now_s) == []
    assert facts.table.hash == before
