"""Valid encodings of declared classes, made from what their codecs say of themselves.

A codec's CDDL type is its specification, so it says what a valid value is: no second list of
examples that would have to be kept.
"""

from __future__ import annotations

import re
from random import Random
from typing import Any, cast

from mesh.wire import cbor
from mesh.wire.schema import _KINDS, _STRUCTS, Codec

SIZE = re.compile(r"\.size \((?:(\d+)\.\.)?(\d+)\)")
ITEMS_MAX = 3
BYTES_MAX = 40


def structs() -> list[type]:
    """Every declared class, by name."""
    return sorted(_STRUCTS, key=lambda cls: (cls.__module__, cls.__name__))


def is_message(cls: type) -> bool:
    return cls in _KINDS


def message_bytes(cls: type, rng: Random) -> bytes:
    return cbor.encode([_KINDS[cls], *items(cls, rng)])


def struct_bytes(cls: type, rng: Random) -> bytes:
    return cbor.encode(items(cls, rng))


def items(cls: type, rng: Random) -> list[object]:
    fields = cast("Any", cls).__wire_fields__
    return [_item(codec.cddl, codec, rng) for _, codec in fields]


def _item(cddl: str, codec: Codec | None, rng: Random) -> object:  # noqa: PLR0911 - one a kind
    """A value of this type; `codec` finds the class of a nested one."""
    if cddl.endswith(" / null"):
        inner = cddl.removesuffix(" / null")
        return None if rng.random() < 0.3 else _item(inner, None, rng)
    if cddl.startswith("[*"):
        most, _, inner = cddl[2:-1].partition(" ")
        return [_item(inner, None, rng) for _ in range(rng.randint(0, min(ITEMS_MAX, int(most))))]
    if cddl.startswith("bstr"):
        low, high = _sizes(cddl)
        return rng.randbytes(rng.randint(low, min(high, max(low, BYTES_MAX))))
    if cddl.startswith("tstr"):
        return "text"[: rng.randint(0, min(4, _sizes(cddl)[1]))]
    if cddl == "bool":
        return rng.random() < 0.5
    if cddl in ("uint", "int"):
        return rng.choice((0, 1, 23, 24, 255, 256, 2**32))
    bounds = re.fullmatch(r"0\.\.(\d+)", cddl)
    if bounds is not None:
        return rng.randint(0, int(bounds[1]))
    by_codec = {id(cast("Any", cls).__wire_unpack__): cls for cls in _STRUCTS}
    nested = by_codec.get(id(codec.from_wire)) if codec is not None else None
    return items(nested or named(cddl), rng)


def _sizes(cddl: str) -> tuple[int, int]:
    found = SIZE.search(cddl)
    assert found is not None, cddl
    high = int(found[2])
    return (high if found[1] is None else int(found[1]), high)


def named(name: str) -> type:
    """The declared class of that name."""
    return next(cls for cls in _STRUCTS if cls.__name__ == name)
