"""Frames received in place: the same payloads as by `FrameReader`, however the stream is cut;
pieces of blobs are read where they lie, and only those that are as they must be."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mesh.limits import BLOB_CHUNK_BYTES, FRAME_BYTES_MAX
from mesh.wire.blob_messages import (
    CHUNK_INDEX_MAX,
    PIECE_HEAD_BYTES_MAX,
    BlobPiece,
    WantChunks,
    piece_head,
    take_piece,
)
from mesh.wire.errors import WireError
from mesh.wire.frame import frame
from mesh.wire.inplace import LARGE_BYTES, SCRATCH_BYTES, FrameBuffer
from mesh.wire.schema import decode_message, encode_message

SIZES = st.one_of(
    st.integers(0, 50),
    st.integers(SCRATCH_BYTES - 10, SCRATCH_BYTES + 10),
    st.integers(LARGE_BYTES - 2, LARGE_BYTES + 2),
)


def received(stream: bytes, cuts: list[int]) -> list[bytes]:
    """What comes out when so many bytes arrive at a time."""
    frames, out = FrameBuffer(), []
    wanted = iter(cuts)
    while stream:
        space = frames.space()
        assert len(space) > 0
        size = min(next(wanted, len(stream)), len(space), len(stream))
        space[:size], stream = stream[:size], stream[size:]
        for payload in frames.filled(size):
            out.append(bytes(payload))
            if isinstance(payload, memoryview):
                frames.give_back(payload)
    return out


@given(st.lists(SIZES, max_size=8), st.lists(st.integers(1, 2 * LARGE_BYTES), max_size=40))
@example([10, LARGE_BYTES, 3, LARGE_BYTES, 0, LARGE_BYTES + 1], [1] * 30)
def test_payloads_come_out_as_they_went_in(sizes: list[int], cuts: list[int]) -> None:
    payloads = [bytes([number + 1]) * size for number, size in enumerate(sizes)]
    assert received(b"".join(map(frame, payloads)), cuts) == payloads


def test_what_has_not_been_given_back_is_not_written_to() -> None:
    frames, held = FrameBuffer(), []
    for number in range(6):
        stream = frame(bytes([number]) * BLOB_CHUNK_BYTES)
        while stream:
            space = frames.space()
            count = min(len(space), len(stream))
            space[:count], stream = stream[:count], stream[count:]
            held += list(frames.filled(count))
    assert [bytes(each[:1]) for each in held] == [bytes([number]) for number in range(6)]


def test_an_oversized_length_takes_no_memory() -> None:
    frames = FrameBuffer()
    frames.space()[:4] = (FRAME_BYTES_MAX + 1).to_bytes(4, "big")
    with pytest.raises(WireError, match="oversized"):
        list(frames.filled(4))


@given(st.integers(0, CHUNK_INDEX_MAX), st.sampled_from([0, 23, 24, 256, 2**16, BLOB_CHUNK_BYTES]))
def test_a_piece_in_place_is_the_message(index: int, size_bytes: int) -> None:
    data = b"x" * size_bytes
    first = piece_head(index, size_bytes)
    assert len(first) <= PIECE_HEAD_BYTES_MAX
    assert first + data == frame(encode_message(BlobPiece(index, data)))
    piece = take_piece(memoryview(bytearray((first + data)[4:])))
    assert piece is not None
    assert (piece.index, bytes(piece.data)) == (index, data)


@given(st.binary(max_size=40), st.integers(0, 40), st.binary(max_size=3))
def test_what_is_no_piece_is_left_to_the_decoder(data: bytes, at: int, other: bytes) -> None:
    good = encode_message(BlobPiece(300, data))
    bad = good[:at] + other + good[at + len(other) :]
    piece = take_piece(memoryview(bytearray(bad)))
    try:
        message = decode_message(bad)
    except WireError:
        message = None
    if piece is not None:
        assert message == BlobPiece(piece.index, bytes(piece.data))


def test_other_messages_are_no_pieces() -> None:
    for message in (BlobPiece(3, None), WantChunks(b"b" * 32, (1, 2))):  # type: ignore[arg-type]
        assert take_piece(memoryview(bytearray(encode_message(message)))) is None
    too_long = bytearray(bytes.fromhex("831890015a00040001") + bytes(BLOB_CHUNK_BYTES + 1))
    assert take_piece(memoryview(too_long)) is None
    too_far = bytearray(b"\x83\x18\x90\x1b" + (2**40).to_bytes(8, "big") + b"\x41x")
    assert take_piece(memoryview(too_far)) is None
