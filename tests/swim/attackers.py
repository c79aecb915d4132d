"""What attackers can make, with the keys that they have, in a simulated mesh.

Statements are signed with whatever keys are given; payloads are sealed by real members' channels
(insiders) or not at all (outsiders). Deliberately not here: assertions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mesh.swim.effects import At
from mesh.swim.evidence import Evidence
from mesh.swim.messages import Gossip, Statement, prefix_of
from mesh.swim.records import Body, Charge, Record, body_of
from mesh.wire.schema import encode_message, evolve
from sim.swim_world import SwimNode, SwimWorld


def signed(mesh: SwimWorld, signer: SwimNode, said: Body) -> Statement:
    """A statement with `signer`'s signature, whomever it names as its author."""
    body = body_of(said)
    signature = mesh.signatures(signer.node_id).sign_statement(body)
    return Statement(body, signature, "")


def a_vote(
    mesh: SwimWorld,
    author: SwimNode,
    subject: SwimNode,
    signer: SwimNode | None = None,
    **changes: object,
) -> Statement:
    """`author`'s vote for the death of `subject` as it is now, with changes, signed by `signer`
    (itself)."""
    own = subject.endpoint._swim._facts.table.own.record
    charge = Charge(
        prefix_of(author.node_id),
        own.node,
        own.epoch,
        own.incarnation,
        Evidence.REFUSED.value,
        True,
    )
    return signed(mesh, signer or author, evolve(charge, **changes))


def a_record(mesh: SwimWorld, subject: SwimNode, signer: SwimNode, **changes: object) -> Statement:
    """The subject's record with changes, signed by somebody."""
    own: Record = subject.endpoint._swim._facts.table.own.record
    return signed(mesh, signer, evolve(own, **changes))


def gossip(statements: Iterable[Statement]) -> bytes:
    return encode_message(Gossip(tuple(statements)))


def inject(mesh: SwimWorld, sender: SwimNode, target: SwimNode, payload: bytes) -> None:
    """`target` gets a payload that was sealed by `sender`: an insider's own channel."""
    now_s = mesh.world.now_s
    swim = target.endpoint._swim
    effects = swim.receive(sender.node_id, payload, At(sender.address, now_s), now_s)
    target.host.act(target.endpoint._seal_all(effects, now_s))


def judges_of(mesh: SwimWorld, subject: SwimNode) -> Sequence[SwimNode]:
    """Its observers, best rank first, as some other node sees it."""
    other = next(node for node in mesh.nodes if node is not subject)
    judges = other.endpoint._swim._facts.judges(subject.node_id, mesh.world.now_s)
    return [mesh.nodes[mesh.roster.index(judge)] for judge in judges]
