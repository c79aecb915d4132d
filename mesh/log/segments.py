"""The frames on disk: segment files that only grow, and are rewritten when bodies have gone.

Rules
- What is put waits in memory until a batch is written and synced: many frames, one sync. Batches
  may be written by a thread; everything else belongs to the event loop.
- Nothing about safety hangs on what is durable (a new epoch at every start sees to that), so frames
  may be sent before. Events that a user was told are kept have been through a batch.
- A batch that fails is written again to a new file: after a failed sync nobody knows what the old
  one holds. What is there twice is read once.
- What a disk does not take waits, up to a bound: then `has_room` says no, to others' frames first,
  and whoever puts has to look before. What is there already is never thrown away.
- Bytes that went bad are found by their sums, at the start or when they are asked for, reported,
  and wanted from others again.
- Ages are times this store was in use, so a clock that was set does not age anything.

Not here: what a record looks like (`records`), what may go (`retention`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from zlib import crc32

import attrs

from mesh.errors import StoreFull
from mesh.identity.keys import SIGNATURE_BYTES
from mesh.limits import LOG_SEGMENT_BYTES
from mesh.log.forks import ForkProof, decode_fork
from mesh.log.frame import Frame, SignedHeader, open_header
from mesh.log.model import FeedId
from mesh.log.records import Damage, Kind, Record, Scan, body_offset, encode_record, scan
from mesh.log.store import Stored
from mesh.log.waiting import Batch, Line, Room
from mesh.ports import Disk
from mesh.types import Digest
from mesh.wire.errors import WireError

FOLDER = "log"
_SUFFIX = ".seg"
UPTIME_EVERY_S = 60.0
ROOM = Room()
_UNWRITTEN = -1


@attrs.define
class _Place:
    """Where the body of one header is."""

    feed: FeedId
    seq: int
    end: int
    segment: int
    """Number of the file that has the body; _UNWRITTEN until a batch is made."""
    offset: int = 0
    size_bytes: int | None = None
    """Of the body; None: it is not held."""
    body_sum: int = 0
    since_s: float = 0.0
    """Time in use when it came."""


@attrs.frozen
class Held:
    """A body on disk, for retention."""

    feed: FeedId
    seq: int
    end: int
    digest: Digest
    """Of its header."""
    size_bytes: int
    age_s: float


class Segments:
    """A `FrameStore` on a disk. Call `load` (through `Log.load`) before anything else."""

    def __init__(
        self,
        disk: Disk,
        segment_bytes: int = LOG_SEGMENT_BYTES,
        *,
        only_reads: bool = False,
        room: Room = ROOM,
    ) -> None:
        """`only_reads`: somebody else may be writing, so a torn end is left as it is."""
        self.disk = disk
        self._room = room
        self._only_reads = only_reads
        self.damage: list[Damage] = []
        """What was found unreadable since the start."""
        self.spoiled: dict[tuple[str, int], Digest] = {}
        """By file and place, bodies that could not be read while loading: of which header."""
        self.torn_bytes = 0
        """Cut off the newest file at the start."""
        self._segment_bytes = segment_bytes
        self._sizes: dict[int, int] = {}
        """Of each file."""
        self._dropped: set[int] = set()
        """Files with bodies that are not needed any more."""
        self._current = 0
        self._places: dict[Digest, _Place] = {}
        self._feeds: dict[FeedId, FeedId] = {}
        """One object for each feed."""
        self._bare: dict[Digest, SignedHeader] = {}
        """While loading: headers whose bodies may come in a later record."""
        self._forks: dict[FeedId, int] = {}
        self._pending: list[Line] = []
        self.unwritten_bytes = 0
        """Memory that records take which are not durable yet."""
        self._bodies: dict[Digest, bytes] = {}
        """Of records that are not durable yet."""
        self._in_use_s = 0.0
        self._started_s: float | None = None
        self._told_s = -UPTIME_EVERY_S

    # -- the log's side ----------------------------------------------------------------------------
    def load(self) -> Iterator[Stored]:
        """Everything that is on disk, in the order it came."""
        numbers = sorted(
            int(name.removesuffix(_SUFFIX))
            for name in self.disk.names(FOLDER)
            if name.endswith(_SUFFIX) and name.removesuffix(_SUFFIX).isdecimal()
        )
        self._current = numbers[-1] if numbers else 1
        for number in numbers:
            is_newest = number == numbers[-1]
            data = self._read(number)
            found = scan(_name(number), data, is_newest=is_newest)
            self.damage += found.damage
            self._sizes[number] = len(data)
            if is_newest:
                self._cut_tail(number, data, found)
            for record in found.records:
                yield from self._loaded(record, number)
        self._bare.clear()

    def put(self, frame: Frame) -> None:
        digest, body = frame.signed.digest, frame.body
        place = self._places.get(digest)
        if place is None:
            place = self._places[digest] = self._place(frame.signed, _UNWRITTEN)
            head, kind = frame.signed.data + frame.signed.signature, Kind.FRAME
        elif body is None or place.size_bytes is not None:
            return  # it is there already
        else:
            head, kind = digest, Kind.BODY
        if body is None:
            self._wait(Line(kind, head))
            return
        place.segment, place.size_bytes, place.body_sum = _UNWRITTEN, len(body), crc32(body)
        self._wait(Line(kind, head, body, place.body_sum, digest))
        self._bodies[digest] = body

    def body(self, digest: Digest) -> bytes | None:
        waiting = self._bodies.get(digest)
        place = self._places.get(digest)
        if waiting is not None or place is None or place.size_bytes is None:
            return waiting
        name = _name(place.segment)
        try:
            with self.disk.open(name) as file:
                body = file.read_at(place.offset, place.size_bytes)
        except OSError:
            body = b""
        if len(body) != place.size_bytes or crc32(body) != place.body_sum:
            self.damage.append(Damage(name, place.offset, place.size_bytes, "body"))
            place.size_bytes = None
            if place.segment == self._current:
                self._current += 1  # its end may not be where we think: nothing more goes there
            return None
        return body

    def drop(self, headers: Iterable[SignedHeader]) -> None:
        for signed in headers:
            place = self._places.get(signed.digest)
            if place is None or place.size_bytes is None:
                continue
            place.size_bytes = None
            self._bodies.pop(signed.digest, None)
            self._wait(Line(Kind.DROPPED, signed.data + signed.signature))
            if place.segment != _UNWRITTEN:
                self._dropped.add(place.segment)

    def put_fork(self, proof: ForkProof) -> None:
        if self._forks.get(proof.feed, proof.seq + 1) > proof.seq:
            self._forks[proof.feed] = proof.seq
            self._wait(Line(Kind.FORK, proof.encode()))

    def has_room(self, *, for_own: bool = False) -> bool:
        room = self._room
        return self.unwritten_bytes < (room.bytes_max if for_own else room.others_bytes_max)

    def _wait(self, line: Line) -> None:
        self._pending.append(line)
        self.unwritten_bytes += line.cost_bytes

    # -- writing -----------------------------------------------------------------------------------
    @property
    def has_pending(self) -> bool:
        return bool(self._pending)

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(self._sizes.values())

    def commit(self, now_s: float) -> None:
        """Make everything durable that was put. Raises StoreFull, OSError; it is kept then, and
        tried again the next time."""
        while (batch := self.batch(now_s)) is not None:
            try:
                batch.write(self.disk)
            except (OSError, StoreFull):
                self.failed(batch)
                raise
            self.written(batch)

    def batch(self, now_s: float) -> Batch | None:
        """What is to be written, about a file full at most; None when nothing is. One at a time:
        `written` or `failed` comes before the next."""
        self._tick(now_s)
        if not self._pending:
            return None
        if self._sizes.get(self._current, 0) >= self._segment_bytes:
            self._current += 1
        count = self._fitting()
        lines = self._pending[:count]
        del self._pending[:count]
        if self._in_use_s - self._told_s >= UPTIME_EVERY_S or self._current not in self._sizes:
            lines.insert(0, Line(Kind.UPTIME, _milliseconds(self._in_use_s)))
            self.unwritten_bytes += lines[0].cost_bytes
            self._told_s = self._in_use_s
        return Batch(self._current, _name(self._current), tuple(lines))

    def _fitting(self) -> int:
        """How many of the lines that wait fill a file, at least one."""
        size_bytes = 0
        for count, line in enumerate(self._pending):
            size_bytes += line.size_bytes
            if size_bytes > self._segment_bytes and count:
                return count
        return len(self._pending)

    def written(self, batch: Batch) -> None:
        """It is durable."""
        self.unwritten_bytes -= sum(line.cost_bytes for line in batch.lines)
        at = self._sizes.get(batch.number, 0)
        for line in batch.lines:
            if line.digest is not None:
                self._bodies.pop(line.digest, None)
                place = self._places[line.digest]
                if place.size_bytes is None:
                    self._dropped.add(batch.number)  # while it was being written
                else:
                    place.segment = batch.number
                    place.offset = at + body_offset(line.head)
                    place.since_s = self._in_use_s
            at += line.size_bytes
        self._sizes[batch.number] = at

    def failed(self, batch: Batch) -> None:
        """It is not, or nobody knows."""
        again = [line for line in batch.lines if line.kind != Kind.UPTIME]  # it will be later then
        self._pending[:0] = again
        self.unwritten_bytes = sum(line.cost_bytes for line in self._pending)
        self._told_s = -UPTIME_EVERY_S
        try:
            info = self.disk.info(batch.name)
        except OSError:
            info = None
        if info is not None and info.size_bytes:
            self._sizes[batch.number] = info.size_bytes
            self._current = batch.number + 1

    # -- retention ---------------------------------------------------------------------------------
    def held(self) -> Iterator[Held]:
        """Bodies that are durable, in the order they came."""
        for digest, place in self._places.items():
            if place.size_bytes is not None and place.segment != _UNWRITTEN:
                age_s = self._in_use_s - place.since_s
                yield Held(place.feed, place.seq, place.end, digest, place.size_bytes, age_s)

    def forget(self, strays: Iterable[Held]) -> None:
        """Bodies, and headers with them, that are no part of the log any more. Should they be put
        again, they are new."""
        for each in strays:
            place = self._places.pop(each.digest)
            self._dropped.add(place.segment)

    def compact(self, at_most: int = 4) -> int:
        """Rewrite files without the bodies that were dropped; returns the bytes that came free.
        Raises StoreFull, OSError; the old file stays then."""
        freed = 0
        for number in sorted(self._dropped - {self._current})[:at_most]:
            data = self.disk.read(_name(number)) or b""
            found = scan(_name(number), data, is_newest=False)
            kept, places = self._without_dropped(number, found)
            self.disk.write(_name(number), kept)
            for place, offset in places:
                place.offset = offset
            freed += len(data) - len(kept)
            self._sizes[number] = len(kept)
            self._dropped.discard(number)
        if self._current in self._dropped and self._sizes.get(self._current):
            self._current += 1  # so that it can be rewritten the next time
        return freed

    # -- inside ------------------------------------------------------------------------------------
    def _without_dropped(self, number: int, found: Scan) -> tuple[bytes, list[tuple[_Place, int]]]:
        """The file's new bytes, and where in it bodies are."""
        parts: list[bytes] = []
        places: list[tuple[_Place, int]] = []
        at = 0
        for record in found.records:
            kind, head, body = Kind(record.kind), record.head, record.body or b""
            if kind in (Kind.FRAME, Kind.BODY, Kind.DROPPED):
                place = self._places.get(_digest_in(record))
                if place is None:
                    continue
                is_here = place.segment == number and place.offset == record.body_at
                if body and is_here and place.size_bytes is not None:
                    places.append((place, at + body_offset(head)))
                elif body and kind == Kind.BODY:
                    continue
                elif body:
                    kind, body = Kind.DROPPED if place.size_bytes is None else kind, b""
            parts.append(encode_record(kind, head, body))
            at += len(parts[-1])
        return b"".join(parts), places

    def _read(self, number: int) -> bytes:
        name = _name(number)
        try:
            return self.disk.read(name) or b""
        except OSError:  # nothing is appended to a file that cannot be read
            info = self.disk.info(name)
            self.damage.append(Damage(name, 0, info.size_bytes if info is not None else 0, "head"))
            self._current = max(self._current, number + 1)
            return b""

    def _cut_tail(self, number: int, data: bytes, found: Scan) -> None:
        self.torn_bytes = len(data) - found.end
        if self.torn_bytes and not self._only_reads:
            self.disk.truncate(_name(number), found.end)
            self._sizes[number] = found.end

    def _loaded(self, record: Record, number: int) -> Iterator[Stored]:
        try:
            if record.body is None:
                self.spoiled[_name(number), record.body_at] = _digest_in(record)
            if record.kind in (Kind.FRAME, Kind.DROPPED):
                yield self._loaded_frame(record, number)
            elif record.kind == Kind.BODY:
                yield from self._loaded_body(record, number)
            elif record.kind == Kind.FORK:
                proof = decode_fork(record.head)
                self._forks[proof.feed] = proof.seq
                yield Stored(fork=proof)
            elif record.kind == Kind.UPTIME:
                self._in_use_s = max(self._in_use_s, int.from_bytes(record.head, "big") / 1000)
        except WireError:  # its sum is right, so it was written by another version
            self.damage.append(Damage(_name(number), record.body_at, record.body_bytes, "head"))

    def _loaded_frame(self, record: Record, number: int) -> Stored:
        signed = open_header(record.head[:-SIGNATURE_BYTES], record.head[-SIGNATURE_BYTES:])
        is_dropped = record.kind == Kind.DROPPED
        place = self._places.get(signed.digest)
        if place is None:
            place = self._places[signed.digest] = self._place(signed, number)
        elif is_dropped:
            if place.size_bytes is not None:
                self._dropped.add(place.segment)
            place.size_bytes = None
        self._place_body(place, record, number)
        if not record.body:
            self._bare[signed.digest] = signed
        return Stored(Frame(signed, record.body or None), is_dropped=is_dropped)

    def _loaded_body(self, record: Record, number: int) -> Iterator[Stored]:
        place = self._places.get(Digest(record.head))
        signed = self._bare.get(Digest(record.head))
        if place is not None and signed is not None and record.body:
            self._place_body(place, record, number)
            yield Stored(Frame(signed, record.body))

    def _place_body(self, place: _Place, record: Record, number: int) -> None:
        if record.body:
            place.segment, place.offset = number, record.body_at
            place.size_bytes, place.body_sum = record.body_bytes, record.body_sum
            place.since_s = self._in_use_s

    def _place(self, signed: SignedHeader, segment: int) -> _Place:
        feed = self._feeds.setdefault(signed.feed, signed.feed)
        return _Place(feed, signed.seq, signed.end, segment)

    def _tick(self, now_s: float) -> None:
        if self._started_s is None:
            self._started_s = now_s - self._in_use_s
        self._in_use_s = max(self._in_use_s, now_s - self._started_s)


def _name(number: int) -> str:
    return f"{FOLDER}/{number:08d}{_SUFFIX}"


def _milliseconds(time_s: float) -> bytes:
    return int(time_s * 1000).to_bytes(8, "big")


def _digest_in(record: Record) -> Digest:
    if record.kind == Kind.BODY:
        return Digest(record.head)
    return open_header(record.head[:-SIGNATURE_BYTES], record.head[-SIGNATURE_BYTES:]).digest
