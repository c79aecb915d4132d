"""Frames: up to 256 events of one feed under one signature.

    frame  = [header: bstr .cbor header, signature: bstr .size 64, body: bstr .cbor [+ bstr] / null]

Rules
- The header names the one before it by digest and commits to the events by their Merkle root and to
  the body by its length. So a header is worth something without its body, and bodies can go while
  the chain stays.
- The digest of a header covers its signature too: whoever has one header of a chain has the
  signatures of all before it, and a relay that spoils one is found when it arrives, not by those
  who get it from us later.
- Bytes are hashed and verified as received, never encoded again. Everything that has a second
  encoding is refused (`mesh.wire.cbor`), so a header or a body has one meaning.
- The wall clock is in the header for people to read. Nothing is ever decided by it.

`docs/log.cddl` is the specification. Not here: which frames belong together (`log`), when events
become a frame (`writer`), what events say (`mesh.state`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any, cast

import attrs

from mesh.identity.keys import SIGNATURE_BYTES, verify
from mesh.limits import (
    LOG_BODY_BYTES_MAX,
    LOG_EVENT_BYTES_MAX,
    LOG_FRAME_EVENTS_MAX,
    LOG_HEADER_BYTES_MAX,
    LOG_SEQ_MAX,
)
from mesh.log.merkle import root_of
from mesh.log.model import (
    EPOCH_BYTES,
    LANES,
    MESH_BYTES,
    NO_PARENT,
    SEEN_BYTES,
    FeedId,
    Head,
)
from mesh.types import DIGEST_BYTES, Digest, MeshId, NodeId
from mesh.wire import cbor, schema
from mesh.wire.bytewise import ARRAY, BYTES, NULL, REFUSALS, compile_take, head
from mesh.wire.errors import WireError
from mesh.wire.schema import fixed, struct, uint
from mesh.wire.straight import quick

VERSION = 1
FRAME_CONTEXT = b"vitte-mesh frame v1\0"
"""Before the header's bytes in what is signed."""

Sign = Callable[[bytes, bytes], bytes]
"""(context, data) -> signature, as `NodeKey.sign`."""


@struct
class Header:
    """What is signed. `open_header` checks what the types do not."""

    version: int = uint(VERSION)
    mesh: bytes = fixed(MESH_BYTES)
    node: bytes = fixed(DIGEST_BYTES)
    epoch: bytes = fixed(EPOCH_BYTES)
    lane: int = uint(LANES - 1)
    seq: int = uint(LOG_SEQ_MAX)
    """Of the first event."""
    count: int = uint(LOG_FRAME_EVENTS_MAX)
    """Events, at least one."""
    prev: bytes = fixed(DIGEST_BYTES)
    """Digest of the header before it in this feed; NO_PARENT exactly when `seq` is 0."""
    root: bytes = fixed(DIGEST_BYTES)
    """Merkle root over the events' bytes (`merkle`)."""
    body_bytes: int = uint(LOG_BODY_BYTES_MAX)
    wall_ms: int = uint()
    """Milliseconds since 1970 UTC by the writer's clock. For display only."""
    seen: bytes = fixed(SEEN_BYTES)
    """Digest of the writer's version vector (`Log.digest`): a witness of what it knew."""


@quick
@attrs.frozen
class SignedHeader:
    """A header as it arrived. Made by `open_header` and `seal` only."""

    header: Header
    data: bytes = attrs.field(repr=False)
    """The header's bytes as received: what was hashed and signed."""
    signature: bytes = attrs.field(repr=False)
    digest: Digest
    """SHA-256 of data ‖ signature."""
    feed: FeedId

    @property
    def seq(self) -> int:
        return self.header.seq

    @property
    def end(self) -> int:
        """Place of the event after its last."""
        return self.header.seq + self.header.count

    @property
    def head(self) -> Head:
        """The feed's head when this is its newest frame."""
        return Head(self.end, self.digest)

    def verify(self) -> None:
        """Raises WireError("signature")."""
        if not verify(self.header.node, FRAME_CONTEXT, self.data, self.signature):
            raise WireError("signature")


@quick
@attrs.frozen
class Frame:
    """A header and, perhaps, its events."""

    signed: SignedHeader
    body: bytes | None = attrs.field(repr=False)
    """Canonical CBOR array of byte strings; None: not asked for, or pruned."""

    @property
    def feed(self) -> FeedId:
        return self.signed.feed

    @property
    def events(self) -> tuple[bytes, ...]:
        """The events in order. The body must be there. Raises WireError("body")."""
        assert self.body is not None
        return split_events(self.body, self.signed.header.count)

    def check_body(self) -> tuple[bytes, ...]:
        """Check the body against the header and return the events. Raises WireError with "body" or
        "root"."""
        header, body = self.signed.header, self.body
        if body is None or len(body) != header.body_bytes:
            raise WireError("body", "another length than the header says")
        events = split_events(body, header.count)
        if root_of(events) != header.root:
            raise WireError("root")
        return events

    def without_body(self) -> Frame:
        return Frame(self.signed, None)


# -- headers -------------------------------------------------------------------------------------
_header_fields: Any = cast("Any", Header).__wire_fields__
_take_header = compile_take(
    Header,
    head(ARRAY, len(_header_fields)),
    [codec.field(name) for name, codec in _header_fields],
    [codec.form() for _, codec in _header_fields],
)


def open_header(data: bytes, signature: bytes) -> SignedHeader:
    """Decode a header and check its structure, not its signature. Raises WireError."""
    if len(data) > LOG_HEADER_BYTES_MAX:
        raise WireError("oversized")
    if len(signature) != SIGNATURE_BYTES:
        raise WireError("signature", f"{len(signature)} bytes")
    header = _header_of(data)
    if header.version != VERSION:
        raise WireError("version", str(header.version))
    if not header.count or header.seq + header.count > LOG_SEQ_MAX:
        raise WireError("count")
    if (header.seq == 0) != (header.prev == NO_PARENT):
        raise WireError("parent", "none, exactly at the beginning of a feed")
    return _signed(header, data, signature)


def _header_of(data: bytes) -> Header:
    try:
        header, end = _take_header(data, 0)
        if end == len(data):
            return cast("Header", header)
    except REFUSALS:
        pass
    return schema.decode_struct(Header, data)  # which says what is wrong


def _signed(header: Header, data: bytes, signature: bytes) -> SignedHeader:
    feed = FeedId(NodeId(header.node), header.epoch, header.lane)
    digest = Digest(sha256(data + signature).digest())
    return SignedHeader(header, data, signature, digest, feed)


# -- bodies --------------------------------------------------------------------------------------
def join_events(events: Sequence[bytes]) -> bytes:
    """The body of these events."""
    parts = [head(ARRAY, len(events))]
    for event in events:
        assert 0 < len(event) <= LOG_EVENT_BYTES_MAX
        parts += (head(BYTES, len(event)), event)
    return b"".join(parts)


def split_events(body: bytes, count: int) -> tuple[bytes, ...]:
    """The events of a body, which must be exactly `count`. Raises WireError("body")."""
    first = head(ARRAY, count)
    if not body.startswith(first):
        raise WireError("body", f"no array of {count}")
    events, at, size = [], len(first), len(body)
    try:
        for _ in range(count):
            length = body[at + 1]
            if body[at] == _ONE_BYTE_LENGTH and length >= _SMALL:  # nearly always
                start, at = at + 2, at + 2 + length
            else:
                start, at = _take_length(body, at)
            events.append(body[start:at])
    except IndexError:
        raise WireError("body", "truncated") from None
    if at != size:
        raise WireError("body", "another length than its events")
    return tuple(events)


_SMALL = 24
_ONE_BYTE_LENGTH, _TWO_BYTES_LENGTH = BYTES | 24, BYTES | 25


def _take_length(body: bytes, at: int) -> tuple[int, int]:
    """Where the byte string at `at` starts and ends. Raises WireError("body"), IndexError."""
    initial = body[at]
    if BYTES < initial < BYTES + _SMALL:
        return at + 1, at + 1 + initial - BYTES
    if initial != _TWO_BYTES_LENGTH:
        raise WireError("body", "an event that is no byte string, empty, or of odd length")
    size = body[at + 1] << 8 | body[at + 2]
    if not 1 << 8 <= size <= LOG_EVENT_BYTES_MAX:
        raise WireError("body", "an event too long, or its length not minimal")
    return at + 3, at + 3 + size


# -- frames --------------------------------------------------------------------------------------
def seal(
    sign: Sign,
    mesh: MeshId,
    feed: FeedId,
    parent: Head,
    events: Sequence[bytes],
    *,
    wall_ms: int,
    seen: bytes,
) -> Frame:
    """The next frame of our own feed, whose head is `parent`."""
    assert 0 < len(events) <= LOG_FRAME_EVENTS_MAX
    body = join_events(events)
    header = Header(
        VERSION,
        mesh[:MESH_BYTES],
        feed.node,
        feed.epoch,
        int(feed.lane),
        parent.count,
        len(events),
        parent.digest,
        root_of(events),
        len(body),
        wall_ms,
        seen,
    )
    data = schema.encode_struct(header)
    return Frame(_signed(header, data, sign(FRAME_CONTEXT, data)), body)


_FRAME_FIRST = head(ARRAY, 3)


def encode_frame(frame: Frame) -> bytes:
    """The frame as it travels and is exported."""
    signed, body = frame.signed, frame.body
    parts = [_FRAME_FIRST, head(BYTES, len(signed.data)), signed.data]
    parts += (head(BYTES, SIGNATURE_BYTES), signed.signature)
    parts += [NULL] if body is None else [head(BYTES, len(body)), body]
    return b"".join(parts)


def decode_frame(data: bytes) -> Frame:
    """Decode a frame; header and body are checked for structure, not against each other. Raises
    WireError."""
    if len(data) > LOG_HEADER_BYTES_MAX + LOG_BODY_BYTES_MAX + SIGNATURE_BYTES + 16:
        raise WireError("oversized")
    item = cbor.decode(data)
    if type(item) is not list or len(item) != 3:
        raise WireError("frame", "not an array of three")
    header, signature, body = item
    if type(header) is not bytes or type(signature) is not bytes:
        raise WireError("frame", "header and signature are byte strings")
    if body is not None and (type(body) is not bytes or len(body) > LOG_BODY_BYTES_MAX):
        raise WireError("frame", "the body is a byte string or null")
    return Frame(open_header(header, signature), body)
