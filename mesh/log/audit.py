"""Checking a log without a node: frames from a disk or an exported file, from the genesis of each
feed on.

    file = b"vitte-mesh log 1\\n" ‖ mesh id ‖ frames, each with its length before it (4, big-endian)

Rules
- Nothing is believed: every header's place and parent, every signature, every body that is there.
- A report says of each feed how far it is whole, and names the exact place and reason of the first
  break. What is behind a break is not looked at: it does not follow from anything.
- Bodies that are not there are counted: as covered by a checkpoint of the owner, or as lost.
- One event can be shown to somebody who has nothing else: `Inclusion`, below a kilobyte.

Not here: who may write (`mesh.state`, which has the roster), and printing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

import attrs

from mesh.identity.keys import SIGNATURE_BYTES
from mesh.limits import LOG_EVENT_BYTES_MAX, LOG_FRAME_EVENTS_MAX, LOG_HEADER_BYTES_MAX
from mesh.log.chain import HELD, WANTED, Chain
from mesh.log.checkpoint import Coverage, covers_in
from mesh.log.frame import Frame, SignedHeader, decode_frame, encode_frame, open_header
from mesh.log.merkle import path_of, root_by_path
from mesh.log.model import EMPTY, MESH_BYTES, FeedId, Head
from mesh.types import DIGEST_BYTES, MeshId
from mesh.wire.errors import WireError
from mesh.wire.frame import FrameReader, frame
from mesh.wire.schema import array, blob, c_blob, decode_struct, encode_struct, fixed, struct, uint

EXPORT_MAGIC = b"vitte-mesh log 1\n"


@attrs.frozen
class Break:
    """Where a feed stops to be whole."""

    seq: int
    """The event from which on nothing is known."""
    reason: str
    """`gap`: headers are missing. `fork`: two headers follow. `signature`, `body`, `root`: as
    `WireError` says. `mesh`: of another one. Else: what the bytes are not."""


@attrs.frozen
class FeedReport:
    """What a check found of one feed."""

    feed: FeedId
    head: Head
    """How far it is whole."""
    frames: int
    held: int
    """Events whose bodies are there and right."""
    covered: int
    """Events without bodies that a checkpoint stands for."""
    lost: int
    """Events without bodies that nothing stands for."""
    broken: Break | None = None
    covered_until: int = 0
    """Events of the feed, from 0 on, that a checkpoint in what was checked stands for."""

    @property
    def is_whole(self) -> bool:
        return self.broken is None


@attrs.frozen
class Report:
    """What a check found."""

    feeds: tuple[FeedReport, ...]
    unreadable: tuple[Break, ...] = ()
    """Places in an exported file, by byte, that are no frames."""

    @property
    def is_whole(self) -> bool:
        return not self.unreadable and all(feed.is_whole for feed in self.feeds)


def verify_frames(mesh: MeshId, frames: Iterable[Frame], *, every_signature: bool = True) -> Report:
    """Check frames in any order. Bodies may be missing; the same frame may come twice. Without
    `every_signature` only the newest of each feed is checked: it vouches for those before it."""
    by_feed: dict[FeedId, dict[bytes, Frame]] = defaultdict(dict)
    for each in frames:
        known = by_feed[each.feed].get(each.signed.digest)
        if known is None or known.body is None:
            by_feed[each.feed][each.signed.digest] = each
    coverage = Coverage()
    checked = []
    for feed in sorted(by_feed):
        chain, held, broken = _check_feed(mesh, feed, list(by_feed[feed].values()), every_signature)
        if not every_signature and chain.headers and not _is_signed(chain.headers[-1]):
            again = _check_feed(mesh, feed, list(by_feed[feed].values()), every_signature=True)
            chain, held, broken = again
        checked.append((chain, held, broken))
    for _, held, _ in checked:
        for each in held:
            for feed, cover in covers_in(each).items():
                coverage.add(feed, cover)
    return Report(tuple(_report(chain, broken, coverage) for chain, _, broken in checked))


@attrs.frozen
class Exported:
    """An exported file, as far as it can be read."""

    mesh: MeshId | None
    """None: it is no exported log."""
    frames: tuple[Frame, ...] = ()
    unreadable: tuple[Break, ...] = ()
    """By byte."""


def read_export(data: bytes) -> Exported:
    """Take an exported file apart; nothing is checked but that its frames are frames."""
    at = len(EXPORT_MAGIC) + DIGEST_BYTES
    if not data.startswith(EXPORT_MAGIC) or len(data) < at:
        return Exported(None, unreadable=(Break(0, "not an exported log"),))
    frames, unreadable, reader = list[Frame](), list[Break](), FrameReader()
    try:
        for encoded in reader.feed(data[at:]):
            try:
                frames.append(decode_frame(encoded))
            except WireError as error:
                unreadable.append(Break(at, error.reason))
            at += 4 + len(encoded)
    except WireError as error:
        unreadable.append(Break(at, error.reason))
    else:
        if reader.pending_bytes:
            unreadable.append(Break(at, "truncated"))
    mesh = MeshId(data[len(EXPORT_MAGIC) :][:DIGEST_BYTES])
    return Exported(mesh, tuple(frames), tuple(unreadable))


def verify_export(mesh: MeshId, data: bytes) -> Report:
    """Check an exported file of this mesh."""
    found = read_export(data)
    if found.mesh is not None and found.mesh != mesh:
        return Report((), (Break(0, "mesh"),))
    return attrs.evolve(verify_frames(mesh, found.frames), unreadable=found.unreadable)


def export(mesh: MeshId, frames: Iterable[Frame]) -> Iterator[bytes]:
    """An exported file, piece by piece."""
    yield EXPORT_MAGIC + mesh
    for each in frames:
        yield frame(encode_frame(each))


# -- one event ----------------------------------------------------------------------------------
@struct
class InclusionRecord:
    """An `Inclusion` as it is kept."""

    header: bytes = blob(LOG_HEADER_BYTES_MAX)
    signature: bytes = fixed(SIGNATURE_BYTES)
    index: int = uint(LOG_FRAME_EVENTS_MAX - 1)
    path: tuple[bytes, ...] = array(c_blob(DIGEST_BYTES, DIGEST_BYTES), 8)
    event: bytes = blob(LOG_EVENT_BYTES_MAX)


@attrs.frozen
class Inclusion:
    """That one event is at one place of a feed, for somebody who has only this."""

    signed: SignedHeader
    index: int
    path: tuple[bytes, ...]
    event: bytes

    @property
    def seq(self) -> int:
        return self.signed.seq + self.index

    def encode(self) -> bytes:
        signed = self.signed
        record = InclusionRecord(signed.data, signed.signature, self.index, self.path, self.event)
        return encode_struct(record)


def prove(of: Frame, index: int) -> Inclusion:
    """The proof of event `index` of a frame whose body is here."""
    events = of.events
    return Inclusion(of.signed, index, path_of(events, index), events[index])


def check_inclusion(data: bytes) -> Inclusion:
    """Decode and check a proof, offline. Raises WireError."""
    record = decode_struct(InclusionRecord, data)
    signed = open_header(record.header, record.signature)
    if record.index >= signed.header.count or not record.event:
        raise WireError("index")
    root = root_by_path(record.event, record.index, signed.header.count, record.path)
    if root != signed.header.root:
        raise WireError("root")
    signed.verify()
    return Inclusion(signed, record.index, record.path, record.event)


# -- inside --------------------------------------------------------------------------------------
def _is_signed(signed: SignedHeader) -> bool:
    try:
        signed.verify()
    except WireError:
        return False
    return True


def _check_feed(
    mesh: MeshId, feed: FeedId, frames: list[Frame], every_signature: bool
) -> tuple[Chain, list[Frame], Break | None]:
    """The part that is whole, its frames with bodies, and where it stops."""
    children: dict[bytes, list[Frame]] = defaultdict(list)
    for each in frames:
        children[each.signed.header.prev].append(each)
    chain, held = Chain(feed), list[Frame]()
    seen = 0
    while following := children.get(chain.head.digest if chain.head != EMPTY else EMPTY.digest):
        if len(following) > 1:
            return chain, held, Break(chain.head.count, "fork")
        (each,) = following
        reason = _fault_of(mesh, each, chain, every_signature)
        if reason:
            return chain, held, Break(chain.head.count, reason)
        chain.append(each.signed, HELD if each.body is not None else WANTED)
        seen += 1
        if each.body is not None:
            held.append(each)
    return chain, held, Break(chain.head.count, "gap") if seen < len(frames) else None


def _fault_of(mesh: MeshId, each: Frame, chain: Chain, check_signature: bool) -> str:
    if each.signed.header.mesh != mesh[:MESH_BYTES]:
        return "mesh"
    if each.signed.seq != chain.head.count:
        return "place"
    try:
        if check_signature:
            each.signed.verify()
        if each.body is not None:
            each.check_body()
    except WireError as error:
        return error.reason
    return ""


def _report(chain: Chain, broken: Break | None, coverage: Coverage) -> FeedReport:
    until = coverage.covered(chain.feed, chain)
    counts = {"held": 0, "covered": 0, "lost": 0}
    for signed, mark in zip(chain.headers, chain.marks, strict=True):
        kind = "held" if mark == HELD else "covered" if signed.end <= until else "lost"
        counts[kind] += signed.header.count
    return FeedReport(
        chain.feed,
        chain.head,
        len(chain.headers),
        **counts,
        broken=broken,
        covered_until=until,
    )
