"""Frames: what a signature covers, what is refused, and trees over events."""

from __future__ import annotations

import contextlib
from hashlib import sha256

import attrs
import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from log_world import KEYS, MESH, feed_of, history, sealed, spoiled

from mesh.limits import LOG_BODY_BYTES_MAX, LOG_EVENT_BYTES_MAX
from mesh.log.frame import (
    Frame,
    decode_frame,
    encode_frame,
    join_events,
    open_header,
    split_events,
)
from mesh.log.merkle import path_of, root_by_path, root_of
from mesh.log.model import EMPTY
from mesh.types import MeshId
from mesh.wire.errors import WireError
from mesh.wire.schema import encode_struct, evolve

KEY = KEYS[0]
FEED = feed_of(KEY)
EVENTS = st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=40)


@settings(max_examples=40)
@given(EVENTS)
def test_a_frame_comes_back_as_it_was(events: list[bytes]) -> None:
    frame = sealed(KEY, FEED, EMPTY, events)
    again = decode_frame(encode_frame(frame))
    again.signed.verify()
    assert again == frame
    assert again.check_body() == tuple(events) == again.events


@settings(max_examples=40)
@given(EVENTS)
def test_a_body_is_what_the_general_encoder_makes(events: list[bytes]) -> None:
    body = join_events(events)
    assert body == cbor2.dumps(events)
    assert split_events(body, len(events)) == tuple(events)


@given(st.binary(max_size=200), st.integers(1, 30))
def test_whatever_is_taken_for_a_body_is_the_one_encoding_of_its_events(
    body: bytes, count: int
) -> None:
    with contextlib.suppress(WireError):
        assert cbor2.dumps(list(split_events(body, count))) == body


@settings(max_examples=40)
@given(EVENTS, st.data())
def test_a_changed_byte_of_a_body_is_seen(events: list[bytes], data: st.DataObject) -> None:
    frame = sealed(KEY, FEED, EMPTY, events)
    assert frame.body is not None
    place = data.draw(st.integers(0, len(frame.body) - 1))
    changed = bytearray(frame.body)
    changed[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(WireError):
        Frame(frame.signed, bytes(changed)).check_body()


def check_all(data: bytes) -> None:
    frame = decode_frame(data)
    frame.signed.verify()
    frame.check_body()


@settings(max_examples=200)
@given(st.data())
def test_a_changed_byte_of_a_frame_is_seen(data: st.DataObject) -> None:
    frame = history(KEY, FEED, [3])[0]
    encoded = bytearray(encode_frame(frame))
    encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(WireError):
        check_all(bytes(encoded))


@given(st.binary(max_size=400))
def test_no_bytes_do_worse_than_a_wire_error(data: bytes) -> None:
    for act in (decode_frame, lambda data: open_header(data, bytes(64))):
        with pytest.raises(WireError):
            act(data)


def test_the_digest_covers_the_signature() -> None:
    signed = history(KEY, FEED, [1])[0].signed
    assert signed.digest == sha256(signed.data + signed.signature).digest()
    assert spoiled(signed).digest != signed.digest
    with pytest.raises(WireError, match="signature"):
        spoiled(signed).verify()


def test_a_signature_is_of_one_mesh() -> None:
    ours, theirs = (sealed(KEY, FEED, EMPTY, [b"e"], mesh) for mesh in (MESH, MeshId(bytes(32))))
    with pytest.raises(WireError, match="signature"):
        open_header(theirs.signed.data, ours.signed.signature).verify()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": 0}, "version"),
        ({"count": 0}, "count"),
        ({"seq": 7}, "parent"),
        ({"prev": bytes([1]) * 32}, "parent"),
    ],
)
def test_a_header_that_cannot_be_is_refused(changes: dict[str, object], reason: str) -> None:

    header = evolve(history(KEY, FEED, [2])[0].signed.header, **changes)
    with pytest.raises(WireError) as caught:
        open_header(encode_struct(header), bytes(64))
    assert caught.value.reason == reason


def test_a_header_of_another_encoding_is_refused() -> None:
    signed = history(KEY, FEED, [2])[0].signed
    assert signed.data[1] == 1
    longer = signed.data[:1] + b"\x18\x01" + signed.data[2:]  # version 1, not minimal
    with pytest.raises(WireError, match="not-minimal"):
        open_header(longer, signed.signature)


def test_more_than_a_body_holds_is_refused_before_it_is_read() -> None:
    frame = history(KEY, FEED, [1])[0]
    with pytest.raises(WireError, match=r"frame|oversized"):
        decode_frame(encode_frame(attrs.evolve(frame, body=bytes(LOG_BODY_BYTES_MAX + 1))))
    too_long = cbor2.dumps([bytes(LOG_EVENT_BYTES_MAX + 1)])
    with pytest.raises(WireError, match="body"):
        split_events(too_long, 1)


# -- trees ---------------------------------------------------------------------------------------
def reference_root(events: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, as it is written there."""
    if len(events) == 1:
        return sha256(b"\0" + events[0]).digest()
    split = 1
    while split * 2 < len(events):
        split *= 2
    left, right = reference_root(events[:split]), reference_root(events[split:])
    return sha256(b"\1" + left + right).digest()


@settings(max_examples=40)
@given(EVENTS)
def test_the_root_is_that_of_the_rfc(events: list[bytes]) -> None:
    assert root_of(events) == reference_root(events)


@settings(max_examples=40)
@given(EVENTS, st.data())
def test_a_path_leads_to_the_root_and_no_other_does(
    events: list[bytes], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(events) - 1))
    path = path_of(events, index)
    root = root_of(events)
    assert root_by_path(events[index], index, len(events), path) == root
    assert root_by_path(events[index] + b"x", index, len(events), path) != root
    assert root_by_path(events[index], index, len(events), (*path, bytes(32))) is None
    if path:
        assert root_by_path(events[index], index, len(events), path[:-1]) is None
