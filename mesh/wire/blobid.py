"""Blob ids: the name of a content, from which every piece of it can be checked when it arrives.

    up to one chunk    sha256(content)
    above              sha256(TAG + page), page = CBOR [1, size, chunk, [* sha256 of each chunk]]
    above a part       sha256(TAG + page), page = CBOR [2, size, chunk, [* blob id of each part]]

A chunk is BLOB_CHUNK_BYTES; a part is MANIFEST_CHUNKS_MAX of them, and the id of a part is that of
a blob with its content. The **manifest** is all chunks' digests; it travels as pages, the root
first, each of which is checked against the id, or against the page before.

Rules
- One content has one id: chunk and part sizes are constants, and what could be written in two ways
  is refused.
- One id has one content: a content that begins with TAG itself, however small, is named by a
  manifest of its one chunk. Otherwise somebody could store `TAG + page` as a small blob under the
  id of the large one.

Sans-IO. Deliberately not here: where chunks are kept (`mesh.cas`) and how they travel.
"""

from __future__ import annotations

from hashlib import sha256

import attrs

from mesh.limits import BLOB_BYTES_MAX, BLOB_CHUNK_BYTES, MANIFEST_CHUNKS_MAX
from mesh.types import DIGEST_BYTES, Digest
from mesh.wire import cbor
from mesh.wire.errors import WireError

TAG = b"vitte-mesh manifest v1\0"
PART_BYTES = MANIFEST_CHUNKS_MAX * BLOB_CHUNK_BYTES
_ONE_LEVEL, _TWO_LEVELS = 1, 2


def blob_id(data: bytes) -> Digest:
    """The id of the blob with this content."""
    if len(data) <= BLOB_CHUNK_BYTES and not data.startswith(TAG):
        return Digest(sha256(data).digest())
    state = BlobHash()
    state.update(data)
    return state.blob_id()


def manifest_of(data: bytes) -> Manifest:
    """The manifest of a content that is at hand."""
    state = BlobHash()
    state.update(data)
    return state.manifest()


def chunks_of(size_bytes: int) -> int:
    """How many chunks a content of that size has; an empty one has one, which is empty."""
    return max(1, -(-size_bytes // BLOB_CHUNK_BYTES))


@attrs.frozen
class Manifest:
    """The digests of all chunks of one content."""

    size_bytes: int
    digests: bytes = attrs.field(repr=False)
    """DIGEST_BYTES for each chunk, in order."""
    tagged: bool = False
    """Whether the content begins with TAG, in which case one chunk needs a page, too."""

    def __attrs_post_init__(self) -> None:
        assert len(self.digests) == DIGEST_BYTES * chunks_of(self.size_bytes)

    @classmethod
    def of_small(cls, digest: Digest, size_bytes: int) -> Manifest:
        """That of a blob which is named by its one chunk."""
        return cls(size_bytes, digest)

    @property
    def chunks(self) -> int:
        return len(self.digests) // DIGEST_BYTES

    def digest(self, index: int) -> Digest:
        """SHA-256 of chunk `index`."""
        return Digest(self.digests[index * DIGEST_BYTES : (index + 1) * DIGEST_BYTES])

    def chunk_bytes(self, index: int) -> int:
        """The size of chunk `index`: all are full but the last."""
        return min(BLOB_CHUNK_BYTES, self.size_bytes - index * BLOB_CHUNK_BYTES)

    def blob_id(self) -> Digest:
        pages = self.pages()
        return _id_of_page(pages[0]) if pages else Digest(self.digests)

    def pages(self) -> tuple[bytes, ...]:
        """What `ManifestReader` makes this of; none when the id says it all."""
        if self.chunks == 1 and not self.tagged:
            return ()
        if self.size_bytes <= PART_BYTES:
            return (_page(_ONE_LEVEL, self.size_bytes, self.digests),)
        parts = [self._part(start) for start in range(0, self.size_bytes, PART_BYTES)]
        ids = b"".join(part.blob_id() for part in parts)
        root = _page(_TWO_LEVELS, self.size_bytes, ids)
        return (root, *(page for part in parts for page in part.pages()))

    def named_pages(self) -> tuple[tuple[Digest, bytes], ...]:
        """The pages, each with the id that names it."""
        return tuple((_id_of_page(page), page) for page in self.pages())

    def _part(self, start: int) -> Manifest:
        first = start // BLOB_CHUNK_BYTES
        last = first + MANIFEST_CHUNKS_MAX
        digests = self.digests[first * DIGEST_BYTES : last * DIGEST_BYTES]
        return Manifest(min(PART_BYTES, self.size_bytes - start), digests)


class BlobHash:
    """Computes id and manifest of a content that comes in pieces."""

    __slots__ = ("_digests", "_left", "_state", "_tagged", "size_bytes")

    def __init__(self) -> None:
        self._digests: list[bytes] = []
        self._state = sha256()
        self._left = BLOB_CHUNK_BYTES
        self._tagged: bytes | None = b""
        self.size_bytes = 0

    def update(self, data: bytes) -> None:
        """The next piece, of any size."""
        if self._tagged is not None:
            self._look_for_tag(data)
        self.size_bytes += len(data)
        if len(data) <= self._left:
            self._state.update(data)
            self._left -= len(data)
            return
        view = memoryview(data)
        while view:
            if not self._left:
                self._digests.append(self._state.digest())
                self._state, self._left = sha256(), BLOB_CHUNK_BYTES
            piece = view[: self._left]
            self._state.update(piece)
            self._left -= len(piece)
            view = view[len(piece) :]

    def manifest(self) -> Manifest:
        """Of everything so far."""
        digests = b"".join((*self._digests, self._state.digest()))
        return Manifest(self.size_bytes, digests, self._tagged == TAG)

    def blob_id(self) -> Digest:
        """Of everything so far."""
        if not self._digests and self._tagged != TAG:
            return Digest(self._state.digest())
        return self.manifest().blob_id()

    def _look_for_tag(self, data: bytes) -> None:
        """`_tagged` is the beginning while it may be that of TAG, then TAG or None."""
        assert self._tagged is not None
        if len(self._tagged) < len(TAG):
            self._tagged += data[: len(TAG) - len(self._tagged)]
            if not TAG.startswith(self._tagged):
                self._tagged = None


class ManifestReader:
    """Puts a manifest together from its pages, which come from somebody who is not trusted.

    Holds one page more than it has checked, never a byte beyond.
    """

    def __init__(self, blob: Digest, size_bytes_max: int = BLOB_BYTES_MAX) -> None:
        self._expected = [blob]
        self._size_bytes_max = size_bytes_max
        self._size_bytes: int | None = None
        self._parts: list[bytes] = []
        self.manifest: Manifest | None = None
        """Once it is complete."""

    @property
    def wanted(self) -> Digest | None:
        """The id that names the next page; None when nothing is missing."""
        return None if self.manifest is not None else self._expected[0]

    def feed(self, page: bytes) -> None:
        """The next page. Raises WireError ("manifest", "oversized")."""
        if self.manifest is not None or _id_of_page(page) != self._expected[0]:
            raise WireError("manifest", "not the page that its id says")
        level, size_bytes, digests = _open_page(page)
        if self._size_bytes is None:
            if size_bytes > self._size_bytes_max:
                raise WireError("oversized", f"{size_bytes} bytes announced")
            self._size_bytes = size_bytes
            if level == _ONE_LEVEL:
                self.manifest = Manifest(size_bytes, digests, size_bytes <= BLOB_CHUNK_BYTES)
                return
            ids = range(0, len(digests), DIGEST_BYTES)
            self._expected = [Digest(digests[at : at + DIGEST_BYTES]) for at in ids]
        else:
            if level != _ONE_LEVEL or size_bytes != self._part_bytes():
                raise WireError("manifest", "a part of another size")
            self._parts.append(digests)
            del self._expected[0]
        self._finish_if_due()

    def _part_bytes(self) -> int:
        assert self._size_bytes is not None
        return min(PART_BYTES, self._size_bytes - PART_BYTES * len(self._parts))

    def _finish_if_due(self) -> None:
        assert self._size_bytes is not None
        if len(self._expected) == 1 and self._part_bytes() <= BLOB_CHUNK_BYTES:
            self._parts.append(self._expected.pop())  # a part of one chunk is named by it
        if not self._expected:
            self.manifest = Manifest(self._size_bytes, b"".join(self._parts))


def _id_of_page(page: bytes) -> Digest:
    return Digest(sha256(TAG + page).digest())


def _page(level: int, size_bytes: int, digests: bytes) -> bytes:
    items = [digests[at : at + DIGEST_BYTES] for at in range(0, len(digests), DIGEST_BYTES)]
    return cbor.encode([level, size_bytes, BLOB_CHUNK_BYTES, items])


def _open_page(page: bytes) -> tuple[int, int, bytes]:
    """(level, size_bytes, digests), everything checked that can be. Raises WireError."""
    value = cbor.decode(page)
    if not isinstance(value, list) or len(value) != 4:
        raise WireError("manifest", "not four items")
    level, size_bytes, chunk_bytes, items = value
    if type(level) is not int or type(size_bytes) is not int or not isinstance(items, list):
        raise WireError("manifest", "items of other types")
    if type(chunk_bytes) is not int or chunk_bytes != BLOB_CHUNK_BYTES:
        raise WireError("manifest", f"chunks of {chunk_bytes} bytes")
    if not 0 <= size_bytes <= BLOB_BYTES_MAX:
        raise WireError("oversized", f"{size_bytes} bytes announced")
    if any(not isinstance(item, bytes) or len(item) != DIGEST_BYTES for item in items):
        raise WireError("manifest", "no list of digests")
    one_level = size_bytes <= PART_BYTES
    expected = chunks_of(size_bytes) if one_level else -(-size_bytes // PART_BYTES)
    if level != (_ONE_LEVEL if one_level else _TWO_LEVELS) or len(items) != expected:
        raise WireError("manifest", "not as many digests as the size needs")
    return level, size_bytes, b"".join(items)
