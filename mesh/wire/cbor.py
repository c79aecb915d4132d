"""Strict, deterministic CBOR (RFC 8949 section 4.2.1), on top of cbor2.

We only ever use arrays, integers, byte strings, text, booleans and null. cbor2's decoder is lenient
(trailing bytes, duplicate keys, any tag, indefinite lengths), so `decode` first scans the bytes and
refuses whatever has more than one encoding or is not of those types. What passes has exactly one
meaning and exactly one encoding, which is what makes signing received bytes safe.
"""

from __future__ import annotations

import cbor2

from mesh.limits import CBOR_DEPTH_MAX, CBOR_ITEMS_MAX
from mesh.wire.errors import WireError

type_uint, type_negative, type_bytes, type_text, type_array, _map, _tag, type_simple = range(8)
_SIMPLE_ALLOWED = frozenset({20, 21, 22})  # false, true, null
_ARGUMENT_BYTES = {24: 1, 25: 2, 26: 4, 27: 8}
_ARGUMENT_MIN = {24: 24, 25: 1 << 8, 26: 1 << 16, 27: 1 << 32}


def encode(value: object) -> bytes:
    """Encode lists/tuples, ints, bytes, str, bool and None; deterministic for those types."""
    return cbor2.dumps(value)


def decode(data: bytes) -> object:
    """Decode one item that fills `data` exactly. Arrays become lists.

    Raises WireError for anything non-canonical, of a foreign type, too deep or too long.
    """
    scan(data)
    try:
        return cbor2.loads(data)
    except (cbor2.CBORDecodeError, UnicodeDecodeError, ValueError) as error:
        raise WireError("cbor", str(error)) from None


def scan(data: bytes) -> None:  # noqa: C901, PLR0912 - one flat loop; calls would triple its cost
    """Check that `data` is exactly one canonical item of the allowed types."""
    position, size, items = 0, len(data), 1
    left = 1  # items still to come in the innermost open array
    outer: list[int] = []  # the same of the arrays around it
    while left:
        if position >= size:
            raise WireError("truncated")
        initial = data[position]
        position += 1
        left -= 1
        major, argument = initial >> 5, initial & 31
        if argument >= 24:
            argument, position = _long_argument(data, position, major, argument)
        if major == type_bytes or major == type_text:  # noqa: PLR1714, SIM109 - no tuple
            position += argument
            if position > size:
                raise WireError("truncated")
        elif major == type_array:
            if argument > size - position:  # each item needs at least one byte
                raise WireError("truncated")
            items += argument
            if items > CBOR_ITEMS_MAX:
                raise WireError("too-many-items")
            if argument:
                if len(outer) >= CBOR_DEPTH_MAX:
                    raise WireError("too-deep")
                outer.append(left)
                left = argument
        elif major == type_simple:
            if argument not in _SIMPLE_ALLOWED:
                raise WireError("type", f"simple value {argument}")
        elif major >= _map:
            raise WireError("type", "maps and tags are not used")
        while not left and outer:
            left = outer.pop()
    if position != size:
        raise WireError("trailing-bytes")


def _long_argument(data: bytes, position: int, major: int, info: int) -> tuple[int, int]:
    if info == 24 and major != type_simple and position < len(data):  # nearly always
        argument = data[position]
        if argument < 24:
            raise WireError("not-minimal")
        return argument, position + 1
    width = _ARGUMENT_BYTES.get(info)
    if width is None or major == type_simple:
        raise WireError("type", "indefinite length, float or reserved value")
    end = position + width
    if end > len(data):
        raise WireError("truncated")
    argument = int.from_bytes(data[position:end], "big")
    if argument < _ARGUMENT_MIN[info]:
        raise WireError("not-minimal")
    return argument, end
