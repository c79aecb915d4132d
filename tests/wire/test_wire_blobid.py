"""Blob ids: one content, one id, whatever the pieces; no page that is not the one that is named."""

from __future__ import annotations

from hashlib import sha256
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.limits import BLOB_CHUNK_BYTES, MANIFEST_PAGE_BYTES_MAX
from mesh.types import Digest
from mesh.wire import blobid, cbor
from mesh.wire.blobid import (
    PART_BYTES,
    TAG,
    BlobHash,
    Manifest,
    ManifestReader,
    blob_id,
    chunks_of,
    manifest_of,
)
from mesh.wire.errors import WireError

CHUNK = BLOB_CHUNK_BYTES
SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 7]


def content(size: int) -> bytes:
    return (b"0123456789abcdef" * (size // 16 + 1))[:size]


def read(blob: Digest, pages: tuple[bytes, ...]) -> Manifest | None:
    reader = ManifestReader(blob)
    for page in pages:
        reader.feed(page)
    return reader.manifest


def synthetic(size: int) -> Manifest:
    """A manifest of a content that nobody has."""
    count = chunks_of(size)
    return Manifest(size, b"".join(sha256(n.to_bytes(4, "big")).digest() for n in range(count)))


def test_up_to_a_chunk_an_id_is_the_plain_hash() -> None:
    for size in (0, 1, CHUNK):
        assert blob_id(content(size)) == sha256(content(size)).digest()
    assert blob_id(content(CHUNK + 1)) != sha256(content(CHUNK + 1)).digest()


def test_above_a_chunk_an_id_is_as_the_specification_says() -> None:
    data = content(2 * CHUNK + 5)
    digests = [sha256(data[at : at + CHUNK]).digest() for at in range(0, len(data), CHUNK)]
    page = cbor.encode([1, len(data), CHUNK, digests])
    assert blob_id(data) == sha256(b"vitte-mesh manifest v1\0" + page).digest()


@pytest.mark.parametrize("size", SIZES)
@given(cuts=st.lists(st.integers(0, 3 * CHUNK + 7), max_size=6))
def test_the_id_does_not_depend_on_the_pieces(size: int, cuts: list[int]) -> None:
    data, state = content(size), BlobHash()
    borders = [0, *sorted(min(cut, size) for cut in cuts), size]
    for start, end in pairwise(borders):
        state.update(data[start:end])
    assert state.blob_id() == blob_id(data) == state.manifest().blob_id()
    assert state.size_bytes == size


@pytest.mark.parametrize("size", SIZES)
def test_a_manifest_comes_back_from_its_pages(size: int) -> None:
    data = content(size)
    manifest = manifest_of(data)
    assert manifest.chunks == chunks_of(size)
    assert sum(manifest.chunk_bytes(index) for index in range(manifest.chunks)) == size
    for index in range(manifest.chunks):
        piece = data[index * CHUNK : (index + 1) * CHUNK]
        assert manifest.digest(index) == sha256(piece).digest()
    if manifest.chunks > 1:
        assert read(blob_id(data), manifest.pages()) == manifest
    else:
        assert manifest == Manifest.of_small(blob_id(data), size)
        assert manifest.pages() == ()


@pytest.mark.parametrize("extra", [1, CHUNK, CHUNK + 1, PART_BYTES])
def test_large_contents_have_two_levels(extra: int) -> None:
    manifest = synthetic(PART_BYTES + extra)
    pages = manifest.pages()
    assert max(map(len, pages)) <= MANIFEST_PAGE_BYTES_MAX
    assert read(manifest.blob_id(), pages) == manifest
    reader = ManifestReader(manifest.blob_id())
    reader.feed(pages[0])
    if len(pages) > 2:
        with pytest.raises(WireError):
            reader.feed(pages[2])  # not its turn
    with pytest.raises(WireError):
        reader.feed(pages[1][:-1] + bytes([pages[1][-1] ^ 1]))


def test_a_content_that_looks_like_a_page_is_not_named_like_it() -> None:
    """Otherwise a small blob would stand under the id of a large one."""
    manifest = manifest_of(content(2 * CHUNK))
    forged = TAG + manifest.pages()[0]
    assert sha256(forged).digest() == manifest.blob_id()
    assert blob_id(forged) != manifest.blob_id()
    state = BlobHash()
    for byte in forged:
        state.update(bytes([byte]))
    assert state.blob_id() == blob_id(forged)
    own = manifest_of(forged)
    assert read(blob_id(forged), own.pages()) == own
    assert blob_id(TAG[:-1]) == sha256(TAG[:-1]).digest()
    assert blob_id(TAG[:-1] + b"x") == sha256(TAG[:-1] + b"x").digest()


def refused(value: object) -> str:
    page = value if isinstance(value, bytes) else cbor.encode(value)
    with pytest.raises(WireError) as caught:
        ManifestReader(Digest(sha256(TAG + page).digest())).feed(page)
    return caught.value.reason


def test_pages_with_two_readings_are_refused() -> None:
    digests = [bytes(32)] * 2
    assert refused([1, 2 * CHUNK, CHUNK, digests, 0]) == "manifest"
    assert refused([1, 2 * CHUNK, CHUNK]) == "manifest"
    assert refused([2, 2 * CHUNK, CHUNK, digests]) == "manifest"
    assert refused([1, 2 * CHUNK, CHUNK // 2, digests]) == "manifest"
    assert refused([1, 2 * CHUNK + 1, CHUNK, digests]) == "manifest"
    assert refused([1, CHUNK, CHUNK, digests]) == "manifest"
    assert refused([1, 2 * CHUNK, CHUNK, [bytes(31)] * 2]) == "manifest"
    assert refused([1, 2 * CHUNK, CHUNK, [*digests[:1], 7]]) == "manifest"
    assert refused([True, 2 * CHUNK, CHUNK, digests]) == "manifest"
    assert refused([1, -1, CHUNK, [bytes(32)]]) == "oversized"
    assert refused([1, 1 << 60, CHUNK, digests]) == "oversized"
    assert refused(cbor.encode([1, 2 * CHUNK, CHUNK, digests]) + b"\0") == "trailing-bytes"


@given(st.binary(max_size=200))
def test_rubbish_is_refused(page: bytes) -> None:
    reader = ManifestReader(Digest(blobid._id_of_page(page)))
    with pytest.raises(WireError):
        reader.feed(page)
    assert reader.manifest is None


def test_more_than_is_wanted_is_refused() -> None:
    manifest = manifest_of(content(3 * CHUNK))
    reader = ManifestReader(manifest.blob_id(), size_bytes_max=3 * CHUNK - 1)
    with pytest.raises(WireError) as caught:
        reader.feed(manifest.pages()[0])
    assert caught.value.reason == "oversized"
