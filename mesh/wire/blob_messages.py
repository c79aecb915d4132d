"""What members say about blobs besides `FetchBlobs`: pieces of large ones, and who keeps what.
Kinds 140-149.

    AskBlob     -> BlobHave, and the manifest's pages when they were asked for
    WantChunks  -> BlobPiece for each index, in order
    Holdings, Keep: on the control link, see `mesh.cas.copies`

Requests on one bulk stream are answered in their order; several may be under way.
"""

from __future__ import annotations

import attrs

from mesh.limits import (
    BLOB_BYTES_MAX,
    BLOB_CHUNK_BYTES,
    COPIES_MAX,
    COPIES_OFFER_MAX,
    FETCH_WINDOW_CHUNKS_MAX,
    HAVE_BYTES_MAX,
    HOLDINGS_PREFIXES_PER_MESSAGE,
    MANIFEST_PAGE_BYTES_MAX,
    SWARM_TOLD_MAX,
)
from mesh.types import DIGEST_BYTES, Digest, NodeId
from mesh.wire.bytewise import BYTES, REFUSALS, UINT, head, take_argument
from mesh.wire.frame import HEADER_BYTES
from mesh.wire.schema import (
    array,
    blob,
    boolean,
    c_blob,
    c_struct,
    c_uint,
    fixed,
    message,
    optional,
    struct,
    uint,
)

PREFIX_BYTES = 4
"""Of a blob's id, where a mistake costs one question."""
CHUNK_INDEX_MAX = BLOB_BYTES_MAX // BLOB_CHUNK_BYTES


@message(140)
class AskBlob:
    """Bulk lane: how much of this large blob do you have?"""

    blob: Digest = fixed(DIGEST_BYTES)
    pages: bool = boolean()
    """Send the pages of its manifest, too: as many as its size needs."""


@message(141)
class BlobHave:
    """`chunks` None: nothing. Empty: all. Else a bit per chunk, the first one the highest of its
    byte. `others` are members that fetch it, too, and may have pieces."""

    blob: Digest = fixed(DIGEST_BYTES)
    chunks: bytes | None = optional(c_blob(HAVE_BYTES_MAX))
    others: tuple[NodeId, ...] = array(c_blob(32, 32), SWARM_TOLD_MAX)


@message(142)
class BlobPage:
    """One page of a manifest."""

    page: bytes = blob(MANIFEST_PAGE_BYTES_MAX)


@message(143)
class WantChunks:
    """Bulk lane: send these chunks."""

    blob: Digest = fixed(DIGEST_BYTES)
    indices: tuple[int, ...] = array(c_uint(CHUNK_INDEX_MAX), FETCH_WINDOW_CHUNKS_MAX)


@message(144, bulky=True)
class BlobPiece:
    """One chunk. None: not here any more."""

    index: int = uint(CHUNK_INDEX_MAX)
    data: bytes | None = optional(c_blob(BLOB_CHUNK_BYTES))


@attrs.frozen
class PieceView:
    """A BlobPiece that lies in a receiver's buffer."""

    index: int
    data: memoryview


_PIECE_FIRST = bytes((0x83, 0x18, 144))
PIECE_HEAD_BYTES_MAX = 24
"""Of a frame with a BlobPiece, before its data: its length, the kind and two numbers."""
assert HEADER_BYTES + len(_PIECE_FIRST) + 5 + 5 <= PIECE_HEAD_BYTES_MAX


def piece_head(index: int, size_bytes: int) -> bytes:
    """The frame of `BlobPiece(index, data)` without its data."""
    assert 0 <= index <= CHUNK_INDEX_MAX
    assert 0 <= size_bytes <= BLOB_CHUNK_BYTES
    first = _PIECE_FIRST + head(UINT, index) + head(BYTES, size_bytes)
    return (len(first) + size_bytes).to_bytes(HEADER_BYTES, "big") + first


def take_piece(payload: memoryview) -> PieceView | None:
    """The BlobPiece that is all of `payload`, without a copy; None for anything else, also for one
    that is not as it must be: `decode_message` says what it is."""
    if payload[:3] != _PIECE_FIRST:
        return None
    first = bytes(payload[:PIECE_HEAD_BYTES_MAX])
    try:
        index, at = take_argument(first, 3, UINT)
        size_bytes, at = take_argument(first, at, BYTES)
    except REFUSALS:
        return None
    if index > CHUNK_INDEX_MAX or not at + size_bytes == len(payload) <= at + BLOB_CHUNK_BYTES:
        return None
    return PieceView(index, payload[at:])


@message(145)
class Holdings:
    """Control link: which blobs that somebody needs are on the sender's disk. `number` counts from
    0, which replaces everything the sender has said before on this link."""

    number: int = uint()
    room_gib_log2: int = uint(63, default=0)
    """How much more it would keep, as a power of two."""
    add: bytes = blob(PREFIX_BYTES * HOLDINGS_PREFIXES_PER_MESSAGE, default=b"")
    """Beginnings of their ids, in order."""
    drop: bytes = blob(PREFIX_BYTES * HOLDINGS_PREFIXES_PER_MESSAGE, default=b"")


@struct
class KeptBlob:
    blob: Digest = fixed(DIGEST_BYTES)
    size_bytes: int = uint(BLOB_BYTES_MAX)
    copies: int = uint(COPIES_MAX)
    """How many of them there should be."""


@message(146)
class Keep:
    """Control link: keep copies of these, which the sender has. No answer but `Holdings`."""

    blobs: tuple[KeptBlob, ...] = array(c_struct(KeptBlob), COPIES_OFFER_MAX)
