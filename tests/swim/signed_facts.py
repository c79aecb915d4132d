"""A handful of members with keys, and what they may say: small worlds for tests of single parts."""

from __future__ import annotations

from collections import Counter

from mesh.swim.config import LAN, SwimConfig
from mesh.swim.effects import SelfInfo, State
from mesh.swim.evidence import Evidence
from mesh.swim.membership import Membership, Origin
from mesh.swim.messages import Statement, prefix_of
from mesh.swim.records import Charge, Record, body_of
from mesh.types import NodeId, digest_of
from mesh.wire.schema import evolve
from sim.signatures import CheapSignatures

OWN_EPOCH = 50
SETTLED_S = 100.0
"""A time at which a node that started at 0 knows who counts."""


def node(index: int) -> NodeId:
    return NodeId(digest_of(f"node {index}".encode()))


def say(index: int, said: object) -> Statement:
    """Signed by node `index`, whatever it is."""
    body = body_of(said)  # type: ignore[arg-type]
    return Statement(body, CheapSignatures(node(index)).sign_statement(body), "")


def a_record(index: int, epoch: int = 1, incarnation: int = 0, left: bool = False) -> Record:
    return Record(
        node=prefix_of(node(index)),
        epoch=epoch,
        incarnation=incarnation,
        left=left,
        host=f"10.1.{index >> 8}.{index & 255}",
        swim_port=7946,
        peer_port=1,
        join_port=2,
    )


def record(index: int, epoch: int = 1, incarnation: int = 0, left: bool = False) -> Statement:
    return say(index, a_record(index, epoch, incarnation, left))


def charge(
    accuser: int,
    subject: int,
    epoch: int = 1,
    incarnation: int = 0,
    vote: bool = False,
    evidence: Evidence = Evidence.SILENT,
) -> Statement:
    prefixes = prefix_of(node(accuser)), prefix_of(node(subject))
    return say(accuser, Charge(*prefixes, epoch, incarnation, evidence.value, vote))


def votes(*accusers: int, subject: int, incarnation: int = 0) -> list[Statement]:
    return [charge(each, subject, incarnation=incarnation, vote=True) for each in accusers]


def forged(statement: Statement) -> Statement:
    return evolve(statement, signature=bytes(64))


def origin(index: int, *, repair: bool = False) -> Origin:
    return Origin(prefix_of(node(index)), f"10.1.0.{index}", repair)


FROM_ONE = origin(1)
REPAIR_FROM_ONE = origin(1, repair=True)


def a_membership(members: int = 5, config: SwimConfig = LAN, own: int = 0) -> Membership:
    """Node `own`'s, which has heard of nobody yet."""
    info = SelfInfo(node(own), OWN_EPOCH, f"10.1.0.{own}", 7946, 1, 2)
    membership = Membership(config, info, CheapSignatures(node(own)), Counter())
    membership.set_roster([node(index) for index in range(members)], 0.0)
    return membership


def an_acquainted(members: int = 5, config: SwimConfig = LAN) -> Membership:
    """Node 0's, which knows everybody."""
    membership = a_membership(members, config)
    for index in range(1, members):
        membership.hear([record(index)], FROM_ONE, 0.0)
    return membership


def state_of(membership: Membership, index: int) -> State | None:
    member = membership.table.get(node(index))
    return member.state if member is not None else None


def judges_of(membership: Membership, subject: int, members: int) -> list[int]:
    """Indices of its observers, best rank first."""
    index = {node(each): each for each in range(members)}
    return [index[judge] for judge in membership.judges(node(subject), SETTLED_S)]


def counted(membership: Membership, reason: str) -> int:
    return membership.book.counters[reason]
