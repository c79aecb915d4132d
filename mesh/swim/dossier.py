"""All that one node can show about a member: what it signed, who charged it, what became of it.

For people who ask why a member is in the state it is in; `vitte mesh why` prints it. Everything in
it has an author. Deliberately not here: names and times of day (the node's views know them).
"""

from __future__ import annotations

import attrs

from mesh.swim.book import Book
from mesh.swim.effects import State
from mesh.swim.evidence import Evidence
from mesh.swim.history import Happening
from mesh.swim.table import Held, Member
from mesh.types import Address, NodeId


@attrs.frozen
class ChargeSeen:
    """A charge against the member's present incarnation, verified."""

    accuser: NodeId
    evidence: str
    """`silent` or `refused`."""
    vote: bool
    """Whether the accuser also voted for its death."""
    is_observer: bool
    """Whether the accuser is one of those whose word counts."""
    at_s: float
    """Monotonic time at which it was heard here."""
    signature: bytes


@attrs.frozen
class Dossier:
    """One member as this node knows it."""

    node_id: NodeId
    state: State
    since_s: float
    epoch: int
    incarnation: int
    address: Address
    heard_s: float | None
    """When it was last heard directly; None: never, or it is ourselves."""
    signature: bytes
    """Its own, under its record."""
    observers: tuple[NodeId, ...]
    quorum: int | None
    """Votes of observers that make it dead; None: too few members are left for any verdict."""
    charges: tuple[ChargeSeen, ...]
    history: tuple[Happening, ...]
    """Oldest first."""


def dossier_of(member: Member, book: Book, now_s: float) -> Dossier:
    """Collect it."""
    observers = tuple(book.observers.of(member, now_s))
    seen = (_seen(held, book, observers) for held in member.charges.values())
    return Dossier(
        node_id=member.node_id,
        state=member.state,
        since_s=member.since_s,
        epoch=member.record.epoch,
        incarnation=member.record.incarnation,
        address=member.address,
        heard_s=member.heard_s if member.heard_s > float("-inf") else None,
        signature=member.statement.signature,
        observers=observers,
        quorum=book.observers.quorum(member, now_s),
        charges=tuple(each for each in seen if each is not None),
        history=book.history.of(member.node_id),
    )


def _seen(held: Held, book: Book, observers: tuple[NodeId, ...]) -> ChargeSeen | None:
    prefix = held.charge.accuser
    accuser = book.own_id if prefix == book.own_prefix else book.table.resolve(prefix)
    if accuser is None:  # struck off the roster since
        return None
    return ChargeSeen(
        accuser=accuser,
        evidence=Evidence(held.charge.evidence).name.lower(),
        vote=held.charge.vote,
        is_observer=accuser in observers,
        at_s=held.at_s,
        signature=held.statement.signature,
    )
