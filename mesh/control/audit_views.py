"""What `vitte audit ...` answers. The rules are those of `mesh.control.views`; nothing but `typing`
is imported."""

from __future__ import annotations

from typing import TypedDict


class BreakView(TypedDict):
    """Where something stops to be whole. `at`: an event of a feed, or a byte of a file. `reason`:
    gap, fork, signature, body, root, mesh, place, damaged, stranger, truncated, or a reason of
    decoding."""

    at: int
    reason: str


class FeedCheckView(TypedDict):
    """One feed. `events` up to where it is whole: `held`, `covered` by a checkpoint of the owner,
    or `lost`. `writer`: member, removed, stranger (never admitted), unknown (of another mesh).
    `bad_events` nobody can take for anything."""

    feed: str
    node: str
    id: str
    writer: str
    events: int
    frames: int
    held: int
    covered: int
    lost: int
    bad_events: int
    broken: BreakView | None


class FileDamageView(TypedDict):
    """A place in a segment file that cannot be read. `what`: head (headers are gone), body (the
    events of one frame are). `healed`: those events are in another place, or would have gone by
    the rules of retention; so nothing is broken. Of a head nobody can say that."""

    file: str
    offset: int
    size_bytes: int
    what: str
    healed: bool


class AuditVerifyView(TypedDict):
    """`vitte.audit_verify/1`"""

    schema: str
    mesh: str
    whole: bool
    feeds: list[FeedCheckView]
    forks: list[str]
    """Names of the nodes of which there is proof that they signed two histories."""
    damage: list[FileDamageView]
    torn_bytes: int
    """At the end of the newest file: being written, or not finished when the power went."""
    unreadable: list[BreakView]


class AuditEventView(TypedDict):
    """One event. `wall_unix_s` is what the writer's clock said, and no proof of anything; `what` is
    the kind, `details` its fields."""

    node: str
    id: str
    feed: str
    seq: int
    wall_unix_s: float
    what: str
    details: dict[str, str | int | None]


class AuditLogView(TypedDict):
    """`vitte.audit_log/1`: newest last, as many as were asked for, of `total`."""

    schema: str
    mesh: str
    total: int
    events: list[AuditEventView]


class LostView(TypedDict):
    """Events [`from_seq`, `to_seq`) of a feed whose bodies are not here and that no checkpoint
    stands for. `why`: dropped (to keep within the bounds), missing (damaged, or not come yet)."""

    feed: str
    node: str
    id: str
    from_seq: int
    to_seq: int
    wall_unix_s: float
    why: str


class AuditLostView(TypedDict):
    """`vitte.audit_lost/1`"""

    schema: str
    mesh: str
    events: int
    lost: list[LostView]


class AuditExportView(TypedDict):
    """`vitte.audit_export/1`"""

    schema: str
    mesh: str
    file: str
    frames: int
    events: int
    size_bytes: int
