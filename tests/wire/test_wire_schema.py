"""Messages: every field checked in both directions, every message round trips, junk is an error."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.wire import messages, schema
from mesh.wire.errors import WireError

LOAD = messages.Load(slots=4, busy=1, queued=9, cpu_percent=50, memory_free_mib=1024)
EXAMPLES: list[Any] = [
    messages.Hello(1, b"m" * 32, 7, 0, "paris-1", "linux-x86_64", b"r" * 32, LOAD),
    messages.RosterRecords((b"a", b"b")),
    messages.Steal(3, LOAD),
    messages.Grant(
        (messages.GrantedShard(1, b"r" * 8, "cc main.c", b"action", 1000, 2**30, 12),),
        2000,
        (messages.InlineBlob(b"hello"),),
    ),
    messages.Decline((1, 2), "cc differs", True),
    messages.Renew(()),
    messages.Progress(1, messages.PHASE_RUNNING),
    messages.Output(1, 2, b"warning"),
    messages.Done((messages.Finished(1, error_code="VM402", error_text="too slow"),), ()),
    messages.BlobHeader(b"d" * 32, None),
    messages.BlobHeader(b"d" * 32, 0),
    messages.BlobChunk(b""),
]


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda each: type(each).__name__)
def test_messages_round_trip(message: Any) -> None:
    assert schema.decode_message(schema.encode_message(message)) == message


@settings(max_examples=300)
@given(st.sampled_from(EXAMPLES), st.data())
def test_a_damaged_message_is_another_message_or_a_wire_error(
    message: Any, data: st.DataObject
) -> None:
    encoded = bytearray(schema.encode_message(message))
    for _ in range(data.draw(st.integers(1, 3))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    try:
        decoded = schema.decode_message(bytes(encoded))
    except WireError:
        return
    assert schema.encode_message(decoded) == bytes(encoded)


@given(st.binary(max_size=400))
def test_junk_is_a_wire_error(data: bytes) -> None:
    try:
        decoded = schema.decode_message(data)
    except WireError:
        return
    assert schema.encode_message(decoded) == data


def test_a_value_out_of_bounds_cannot_even_be_sent() -> None:
    with pytest.raises(WireError):
        schema.encode_message(messages.RosterDigest(b"short"))
    with pytest.raises(WireError):
        schema.encode_message(attrs.evolve(EXAMPLES[0], name="x" * 65))


def test_an_unknown_kind_and_a_missing_field_are_refused() -> None:
    from mesh.wire import cbor

    for bad in ([9999, 1], [3], [3, b"r" * 32, 1], ["3"], [], 3, [True, b"r" * 32]):
        with pytest.raises(WireError):
            schema.decode_message(cbor.encode(bad))


def test_the_description_names_every_message_with_its_kind() -> None:
    text = schema.describe()
    for message in EXAMPLES:
        assert f"{type(message).__name__} = [" in text
