"""From a book to the views of `vitte audit`: is it whole, who did what, what is lost.

Rules
- A feed counts as whole only when its writer was once admitted, every event can be read, and the
  disk has not spoiled anything of it.
- Times are the writers' own clocks': they order what is shown and prove nothing.

Not here: reading (`book`) and the checks themselves (`mesh.log.audit`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import Any

from mesh.control.audit_views import (
    AuditEventView,
    AuditExportView,
    AuditLogView,
    AuditLostView,
    AuditVerifyView,
    BreakView,
    FeedCheckView,
    FileDamageView,
    LostView,
)
from mesh.errors import NotWritten
from mesh.log.audit import Break, FeedReport, export, verify_frames
from mesh.log.frame import Frame
from mesh.log.model import FeedId, Lane
from mesh.log.records import Damage
from mesh.node.audit.book import Book
from mesh.state.events import Executions, Intent, RunEvent, RunState, Trust, decode_event
from mesh.types import NodeId
from mesh.wire.errors import WireError

BRIEF_BYTES = 8
"""Of digests and ids that are shown: 16 digits."""
TEXT_SHOWN_MAX = 200


# -- is it whole ---------------------------------------------------------------------------------
def verify_view(book: Book) -> AuditVerifyView:
    """Every signature, digest, root and event; and whether each writer might write at all."""
    report = verify_frames(book.mesh, book.frames)
    bad = _bad_events(book.frames)
    names = book.names()
    feeds = [_feed(book, names, each, bad[each.feed]) for each in report.feeds]
    unreadable = [_break(each) for each in book.unreadable]
    sound = all(feed["broken"] is None and not feed["bad_events"] for feed in feeds)
    damage = [_damage(book, each) for each in book.damage]
    broken = [each for each in damage if not each["healed"]]
    return {
        "schema": "vitte.audit_verify/1",
        "mesh": book.mesh.hex(),
        "whole": sound and not (broken or unreadable or book.forks),
        "feeds": feeds,
        "forks": sorted({book.name_of(proof.feed.node) for proof in book.forks}),
        "damage": damage,
        "torn_bytes": book.torn_bytes,
        "unreadable": unreadable,
    }


def _feed(book: Book, names: dict[NodeId, str], report: FeedReport, bad: int) -> FeedCheckView:
    node = report.feed.node
    writer = _writer(book, node)
    broken = report.broken
    if broken is None and writer == "stranger":
        broken = Break(0, "stranger")
    return {
        "feed": str(report.feed),
        "node": names.get(node, node.hex()[:8]),
        "id": node.hex(),
        "writer": writer,
        "events": report.head.count,
        "frames": report.frames,
        "held": report.held,
        "covered": report.covered,
        "lost": report.lost,
        "bad_events": bad,
        "broken": None if broken is None else _break(broken),
    }


def _damage(book: Book, damage: Damage) -> FileDamageView:
    """What was behind a damaged head nobody can say, so it stays broken."""
    digest = book.spoiled.get((damage.name, damage.offset))
    healed = digest in book.dropped or any(
        frame.signed.digest == digest and frame.body is not None for frame in book.frames
    )
    return {
        "file": damage.name,
        "offset": damage.offset,
        "size_bytes": damage.size_bytes,
        "what": damage.what,
        "healed": healed,
    }


def _writer(book: Book, node: NodeId) -> str:
    if book.roster is None:
        return "unknown"
    if book.roster.member(node) is not None:
        return "member"
    return "removed" if book.roster.standing().judge(node, None).role is not None else "stranger"


def _break(broken: Break) -> BreakView:
    return {"at": broken.seq, "reason": broken.reason}


def _bad_events(frames: tuple[Frame, ...]) -> Counter[FeedId]:
    """Events that are no events, by feed."""
    bad: Counter[FeedId] = Counter()
    for frame in frames:
        for _, data in _events(frame):
            try:
                decode_event(data, frame.feed.lane)
            except WireError:
                bad[frame.feed] += 1
    return bad


def _events(frame: Frame) -> Iterator[tuple[int, bytes]]:
    """Places and bytes; nothing when the body is not here, or is none."""
    if frame.body is None:
        return
    try:
        yield from enumerate(frame.events, frame.signed.seq)
    except WireError:
        return


# -- who did what --------------------------------------------------------------------------------
def log_view(book: Book, limit: int) -> AuditLogView:
    """The newest events, by the writers' clocks; shards that share an event one by one."""
    ordered = sorted(book.frames, key=lambda frame: (_wall_ms(frame), frame.feed, frame.signed.seq))
    total = sum(_deeds_in(frame) for frame in ordered)
    names = book.names()
    newest: list[AuditEventView] = []
    for frame in reversed(ordered):
        newest += reversed([row for each in _events(frame) for row in _rows(names, frame, *each)])
        if len(newest) >= limit:
            break
    return {
        "schema": "vitte.audit_log/1",
        "mesh": book.mesh.hex(),
        "total": total,
        "events": newest[:limit][::-1],
    }


def _wall_ms(frame: Frame) -> int:
    return frame.signed.header.wall_ms


def _deeds_in(frame: Frame) -> int:
    """How many rows `_rows` makes of it."""
    if frame.feed.lane != Lane.EXEC:
        return 0 if frame.body is None else frame.signed.header.count
    return sum(len(_said(data, frame.feed.lane)) for _, data in _events(frame))


def _rows(
    names: dict[NodeId, str], frame: Frame, seq: int, data: bytes
) -> Iterator[AuditEventView]:
    node = frame.feed.node
    for what, details in _said(data, frame.feed.lane):
        yield {
            "node": names.get(node, node.hex()[:8]),
            "id": node.hex(),
            "feed": str(frame.feed),
            "seq": seq,
            "wall_unix_s": _wall_ms(frame) / 1000,
            "what": what,
            "details": details,
        }


Details = dict[str, str | int | None]


def _said(data: bytes, lane: int) -> list[tuple[str, Details]]:
    """Kind and fields: of the event, or of each shard that was executed."""
    try:
        event: Any = decode_event(data, lane)
    except WireError as error:
        return [("unreadable", {"reason": error.reason})]
    fields = _fields(event)
    if isinstance(event, Executions):
        del fields["shards"]
        return [("Execution", _shown({**fields, **_fields(each)})) for each in event.shards]
    if isinstance(event, RunEvent):
        fields["state"] = RunState(event.state)
    words = {"trust": Trust, "intent": Intent}
    fields.update({name: words[name](fields[name]) for name in words if name in fields})
    return [(type(event).__name__, _shown(fields))]


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name, _ in value.__wire_fields__}


def _shown(fields: dict[str, Any]) -> Details:
    return {name: _plain(value) for name, value in fields.items()}


def _plain(value: Any) -> str | int | None:
    match value:
        case None | bool():
            return value
        case IntEnum():
            return value.name.lower()
        case int():
            return value
        case bytes():
            try:
                text = value.decode() if len(value) not in (8, 16, 32) else ""
            except UnicodeDecodeError:
                text = ""
            return text[:TEXT_SHOWN_MAX] or value[:BRIEF_BYTES].hex()
        case tuple():
            return len(value)
    return str(value)[:TEXT_SHOWN_MAX]


# -- what is lost --------------------------------------------------------------------------------
def lost_view(book: Book) -> AuditLostView:
    """Bodies that are not here and that no checkpoint of their owner stands for."""
    names = book.names()
    lost = list(_lost(book, names))
    return {
        "schema": "vitte.audit_lost/1",
        "mesh": book.mesh.hex(),
        "events": sum(each["to_seq"] - each["from_seq"] for each in lost),
        "lost": lost,
    }


def _lost(book: Book, names: dict[NodeId, str]) -> Iterator[LostView]:
    covered = {
        each.feed: each.covered_until for each in verify_frames(book.mesh, book.frames).feeds
    }
    for frame in sorted(book.frames, key=lambda frame: (frame.feed, frame.signed.seq)):
        signed = frame.signed
        if frame.body is not None or signed.end <= covered.get(frame.feed, 0):
            continue
        yield {
            "feed": str(frame.feed),
            "node": names.get(frame.feed.node, frame.feed.node.hex()[:8]),
            "id": frame.feed.node.hex(),
            "from_seq": signed.seq,
            "to_seq": signed.end,
            "wall_unix_s": _wall_ms(frame) / 1000,
            "why": "dropped" if signed.digest in book.dropped else "missing",
        }


# -- taking it elsewhere -------------------------------------------------------------------------
def export_view(book: Book, path: Path) -> AuditExportView:
    """Write all of it to a file that `verify` takes anywhere. Raises NotWritten."""
    size_bytes = 0
    ordered = sorted(book.frames, key=lambda frame: (frame.feed, frame.signed.seq))
    try:
        with path.open("wb") as file:
            for piece in export(book.mesh, ordered):
                size_bytes += file.write(piece)
    except OSError as error:
        raise NotWritten(path=str(path), why=error.strerror or str(error)) from None
    return {
        "schema": "vitte.audit_export/1",
        "mesh": book.mesh.hex(),
        "file": str(path),
        "frames": len(ordered),
        "events": sum(f.signed.header.count for f in ordered if f.body is not None),
        "size_bytes": size_bytes,
    }
