"""`docs/blobs.cddl` against the codec of manifests: what one takes, the other takes."""

from __future__ import annotations

import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mesh.limits import BLOB_CHUNK_BYTES
from mesh.types import Digest
from mesh.wire import cbor
from mesh.wire.blobid import PART_BYTES, TAG, ManifestReader, chunks_of
from mesh.wire.errors import WireError

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "firmware"))

from small_cddl import Schema  # noqa: E402 - the reader that the firmware's files have

BLOBS = Schema((ROOT / "docs" / "blobs.cddl").read_text())
EDGES = [0, 1, 2, 3, BLOB_CHUNK_BYTES, 2 * BLOB_CHUNK_BYTES, PART_BYTES, PART_BYTES + 1, 2**36]
ODD = st.one_of(
    st.sampled_from([*EDGES, 2**36 + 1, -1, None, True, b"", []]), st.binary(max_size=3)
)


def counted(size: int) -> int:
    """Digests that a page of a content of that size has: the part that CDDL cannot say."""
    return chunks_of(size) if size <= PART_BYTES else -(-size // PART_BYTES)


def taken(page: bytes) -> bool:
    try:
        ManifestReader(Digest(sha256(TAG + page).digest())).feed(page)
    except WireError:
        return False
    return True


@st.composite
def pages(draw: st.DrawFn) -> list[Any]:
    """Mostly right, with at most one item that is something else."""
    size = draw(st.sampled_from([0, 1, BLOB_CHUNK_BYTES + 1, 5 * BLOB_CHUNK_BYTES, PART_BYTES + 1]))
    digests: list[Any] = [bytes([n]) * 32 for n in range(counted(size))]
    item: list[Any] = [1 if size <= PART_BYTES else 2, size, BLOB_CHUNK_BYTES, digests]
    how = draw(st.sampled_from(["right", "item", "digest", "more", "fewer"]))
    if how == "item":
        item[draw(st.integers(0, 3))] = draw(ODD)
    elif how == "digest":
        digests[draw(st.integers(0, len(digests) - 1))] = draw(
            st.one_of(st.binary(min_size=31, max_size=33), ODD)
        )
    elif how == "more":
        item.append(draw(ODD))
    elif how == "fewer":
        del item[draw(st.integers(0, 3))]
    return item


@given(pages())
def test_the_specification_and_the_codec_agree(item: list[Any]) -> None:
    specified = BLOBS.matches("page", item)
    page = cbor.encode(item)
    if specified and len(item[3]) != counted(item[1]):
        assert not taken(page)
    else:
        assert taken(page) == specified
