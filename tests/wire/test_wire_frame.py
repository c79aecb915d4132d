"""Frames survive any way of cutting the stream; an oversized one is refused before it is held."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.limits import FRAME_BYTES_MAX
from mesh.wire.errors import WireError
from mesh.wire.frame import FrameReader, frame


@given(st.lists(st.binary(max_size=50), max_size=20), st.lists(st.integers(1, 30), max_size=40))
def test_frames_come_out_as_they_went_in_however_the_stream_is_cut(
    payloads: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(frame(payload) for payload in payloads)
    reader, out = FrameReader(), []
    for size in [*cuts, len(stream)]:
        out += list(reader.feed(stream[:size]))
        stream = stream[size:]
    assert out == payloads
    assert reader.pending_bytes == 0


def test_a_length_above_the_limit_is_refused_at_once() -> None:
    reader = FrameReader()
    with pytest.raises(WireError):
        list(reader.feed((FRAME_BYTES_MAX + 1).to_bytes(4, "big")))
    with pytest.raises(WireError):
        frame(bytes(FRAME_BYTES_MAX + 1))


def test_bytes_read_ahead_can_be_handed_on() -> None:
    first, second = FrameReader(), FrameReader()
    assert list(first.feed(frame(b"one") + frame(b"two")[:5])) == [b"one"]
    second.push_back(first.take_pending())
    assert list(second.feed(frame(b"two")[5:])) == [b"two"]
