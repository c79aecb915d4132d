"""Items in which one thing is not as it was: what a specification and a codec must judge alike."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from mesh.wire import cbor
from mesh.wire.errors import WireError


def places(item: Any, path: tuple[int, ...] = ()) -> list[tuple[int, ...]]:
    """Paths to everything inside an item."""
    found = [path] if path else []
    for index, each in enumerate(item if isinstance(item, list) else ()):
        found += places(each, (*path, index))
    return found


def spoil(draw: st.DrawFn, item: Any, odd: st.SearchStrategy[Any], *, inside: bool = False) -> Any:
    """The item with, mostly, one thing replaced by something odd, doubled or gone. `inside`: also
    within byte strings that hold arrays of their own. The item itself is changed."""
    everywhere = places(item)
    hows = ["keep", "change", "change", "change", "double", "drop"] + ["within"] * inside
    how = draw(st.sampled_from(hows))
    if how == "keep" or not everywhere:
        return item
    *way, last = draw(st.sampled_from(everywhere))
    around = item
    for index in way:
        around = around[index]
    if how == "change":
        around[last] = draw(odd)
    elif how == "double":
        around.insert(last, around[last])
    elif how == "drop":
        del around[last]
    elif (array := _array(around[last])) is not None:
        around[last] = cbor.encode(spoil(draw, array, odd, inside=True))
    return item


def _array(value: object) -> list[Any] | None:
    """What a byte string holds, if that is an array."""
    try:
        held = cbor.decode(value) if type(value) is bytes else None
    except WireError:
        return None
    return held if isinstance(held, list) else None
