"""Strict CBOR: one encoding per value, everything else refused, junk never raises anything else."""

from __future__ import annotations

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.limits import CBOR_DEPTH_MAX
from mesh.wire import cbor
from mesh.wire.errors import WireError

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.binary(max_size=300)
    | st.text(max_size=300)
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=30), max_leaves=60)


@given(values)
def test_what_we_encode_decodes_to_the_same(value: object) -> None:
    assert cbor.decode(cbor.encode(value)) == value


@given(values)
def test_every_accepted_encoding_is_the_one_we_would_make(value: object) -> None:
    data = cbor.encode(value)
    assert cbor.encode(cbor.decode(data)) == data


@given(st.binary(max_size=200))
def test_junk_is_refused_with_a_wire_error_or_is_canonical(data: bytes) -> None:
    try:
        value = cbor.decode(data)
    except WireError:
        return
    assert cbor.encode(value) == data


@given(values, st.data())
def test_one_flipped_bit_never_raises_anything_else(value: object, data: st.DataObject) -> None:
    encoded = bytearray(cbor.encode(value))
    position = data.draw(st.integers(0, len(encoded) - 1))
    encoded[position] ^= 1 << data.draw(st.integers(0, 7))
    try:
        decoded = cbor.decode(bytes(encoded))
    except WireError:
        return
    assert cbor.encode(decoded) == bytes(encoded)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "truncated"),
        (b"\x01\x01", "trailing-bytes"),
        (b"\x18\x05", "not-minimal"),
        (b"\x19\x00\xff", "not-minimal"),
        (b"\x9f\x01\xff", "type"),
        (b"\x5f\x41a\xff", "type"),
        (b"\xa1\x01\x02", "type"),
        (b"\xc2\x41\x01", "type"),
        (b"\xf9\x3c\x00", "type"),
        (b"\xf7", "type"),
        (b"\x61\xff", "cbor"),
        (b"\x9b" + b"\xff" * 8, "truncated"),
        (b"\x5b" + b"\xff" * 8, "truncated"),
        (b"\x81" * (CBOR_DEPTH_MAX + 1) + b"\x01", "too-deep"),
    ],
)
def test_what_has_another_encoding_or_is_no_type_of_ours_is_refused(
    data: bytes, reason: str
) -> None:
    with pytest.raises(WireError) as caught:
        cbor.decode(data)
    assert caught.value.reason == reason


@given(st.dictionaries(st.text(max_size=5), st.integers(), max_size=3) | st.floats())
def test_maps_and_floats_do_not_get_in(value: object) -> None:
    with pytest.raises(WireError):
        cbor.decode(cbor2.dumps([value]))
