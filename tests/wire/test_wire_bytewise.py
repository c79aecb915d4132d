"""Two ways between messages and bytes: the compiled one must never differ from the general one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.action import model
from mesh.limits import DATAGRAM_BYTES_MAX
from mesh.swim import messages as swim
from mesh.wire import bytewise, cbor, messages, schema
from mesh.wire.errors import WireError

uint32 = st.integers(0, 2**32)
uint16 = st.integers(0, 65_535)
hosts = st.text(max_size=12)
prefixes = st.binary(min_size=8, max_size=8)
loads = st.builds(
    messages.Load,
    slots=uint16,
    busy=uint16,
    queued=uint32,
    cpu_percent=st.integers(0, 100),
    memory_free_mib=uint32,
    late_ms=st.integers(0, 60_000),
    place=st.binary(max_size=messages.PLACE_BYTES),
)
own_loads = st.none() | st.builds(swim.OwnLoad, uint32, loads)
statements = st.builds(
    swim.Statement, st.binary(max_size=192), st.binary(min_size=64, max_size=64), hosts
)
witnesses = st.none() | st.builds(swim.Witness, prefixes, prefixes)
facts = st.lists(statements, max_size=3).map(tuple)
said = st.one_of(
    st.builds(swim.Ping, uint16, prefixes, own_loads, facts, witnesses),
    st.builds(swim.Ack, uint16, prefixes, own_loads, facts, st.none() | statements),
    st.builds(swim.PingFor, uint16, prefixes, prefixes, hosts, uint16, facts),
    st.builds(swim.Relayed, uint16, statements, facts),
    st.builds(swim.Beat, st.integers(0, swim.BEAT_MS_MAX), facts),
    st.builds(swim.Gossip, facts),
    st.builds(swim.Delta, facts, st.binary(max_size=64)),
    st.builds(messages.LoadChanged, loads),
    st.builds(messages.Renew, st.lists(st.integers(0, 2**64 - 1), max_size=20).map(tuple)),
    st.builds(messages.Decline, st.just((1, 2**40)), hosts, st.booleans()),
)

digests = st.binary(min_size=32, max_size=32)
entries = st.builds(model.TreeEntry, hosts, st.integers(0, 3), digests, uint32, hosts)
logs = st.builds(model.LogBlob, digests, uint32, uint32, st.binary(max_size=40))
words = st.lists(hosts, max_size=4).map(tuple)
structs = st.one_of(
    st.builds(model.Tree, st.lists(entries, max_size=6).map(tuple)),
    st.builds(
        model.Action,
        words,
        st.lists(st.builds(model.EnvVar, hosts, hosts), max_size=3).map(tuple),
        hosts,
        words,
        digests,
        st.lists(st.builds(model.OutputSpec, hosts, st.booleans()), max_size=3).map(tuple),
        digests,
    ),
    st.builds(
        model.Result,
        digests,
        digests,
        st.integers(-64, 255),
        st.lists(entries, max_size=2).map(tuple),
        logs,
        logs,
        uint32,
        hosts,
    ),
)


def in_general(data: bytes) -> Any:
    """What the general decoder makes of bytes; None when it refuses them."""
    try:
        items = cbor.decode(data)
        if type(items) is not list or not items or type(items[0]) is not int:
            return None
        cls = next((c for c, kind in schema._KINDS.items() if kind == items[0]), None)
        return None if cls is None else schema._unpack(cls, items[1:])
    except WireError:
        return None


@settings(max_examples=150)
@given(said)
def test_bytes_are_those_of_the_general_encoder_and_read_alike(message: Any) -> None:
    data = schema.encode_message(message)
    assert data == cbor.encode([schema._KINDS[type(message)], *schema._pack(message)])
    assert schema._quickly(schema._message_take(type(message)), data) == message
    assert in_general(data) == message


@settings(max_examples=150)
@given(said, st.data())
def test_damaged_bytes_are_never_read_otherwise_than_by_the_general_decoder(
    message: Any, data: st.DataObject
) -> None:
    damaged = bytearray(schema.encode_message(message))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, min(len(damaged) - 1, 40)))
        damaged[at] = data.draw(st.integers(0, 255))
    cut = bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    for each in (bytes(damaged), cut, bytes(damaged) + b"\0"):
        quick = schema._quickly(schema._message_take(type(message)), each)
        if quick is not None:
            assert quick == in_general(each)


@settings(max_examples=150)
@given(structs)
def test_bare_structs_are_written_and_read_like_by_the_general_ones(value: Any) -> None:
    data = schema.encode_struct(value)
    assert data == cbor.encode(schema._pack(value))
    assert schema.decode_struct(type(value), data) == value
    assert schema._unpack(type(value), cbor.decode(data)) == value


@settings(max_examples=150)
@given(structs, st.data())
def test_damaged_structs_are_judged_by_the_general_decoder(value: Any, data: st.DataObject) -> None:
    damaged = bytearray(schema.encode_struct(value))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        damaged[at] = data.draw(st.integers(0, 255))
    cut = bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    for each in (bytes(damaged), cut, bytes(damaged) + b"\0"):
        assert judged(schema.decode_struct, type(value), each) == judged(
            lambda cls, read: schema._unpack(cls, cbor.decode(read)), type(value), each
        )


def judged(decode: Callable[[Any, bytes], Any], cls: type, data: bytes) -> Any:
    try:
        return decode(cls, data)
    except WireError as error:
        return str(error)


@given(st.integers(-(2**63), 2**63 - 1), st.text(max_size=300), st.binary(max_size=300))
def test_items_are_those_of_the_general_encoder(number: int, text: str, blob: bytes) -> None:
    for codec, value in (
        (schema.c_int(), number),
        (schema.c_uint(), abs(number)),
        (schema.c_text(2000), text),
        (schema.c_blob(300), blob),
        (schema.c_blob(0, len(blob)), blob),
        (schema.c_optional(schema.c_int()), number),
        (schema.c_array(schema.c_int(), 3), (number, 0, -1)),
    ):
        data = codec.put()(value)
        assert data == cbor.encode(codec.to_wire(value))
        assert codec.take()(data, 0) == (value, len(data))


@pytest.mark.parametrize(
    "data",
    [
        "1817",
        "190017",
        "1a00000017",
        "1b0000000000000017",
        "1c",
        "20",
        "40",
        "80",
        "f6",
        "18",
        "19ff",
    ],
)
def test_a_number_that_is_not_written_shortest_is_odd(data: str) -> None:
    with pytest.raises(bytewise.REFUSALS):
        schema.c_uint().take()(bytes.fromhex(data), 0)


def test_a_length_beyond_the_end_is_odd() -> None:
    for codec, data in ((schema.c_blob(300), "5818ff"), (schema.c_text(300), "62ff")):
        with pytest.raises(bytewise.REFUSALS):
            codec.take()(bytes.fromhex(data), 0)


def test_what_is_out_of_bounds_is_refused_when_it_is_put() -> None:
    good = swim.Ping(1, b"h" * 8, None, (), None)
    for changes in ({"number": 2**16}, {"table_hash": b"short"}, {"facts": (None,) * 33}):
        with pytest.raises(WireError):
            schema.encode_message(schema.evolve(good, **changes))


def test_large_messages_are_left_to_the_general_decoder() -> None:
    message = messages.BlobChunk(bytes(DATAGRAM_BYTES_MAX))
    assert schema.decode_message(schema.encode_message(message)) == message
