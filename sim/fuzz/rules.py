"""What must hold of every input, and events to begin with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Any

from mesh.state.events import _KINDS
from mesh.wire import cbor
from sim.fuzz import samples

Check = Callable[[bytes], bool]
SEEDS_EACH = 2


def refusing(decode: Callable[[bytes], object], *errors: type[Exception]) -> Check:
    """Refused with one of these errors, or accepted."""

    def check(data: bytes) -> bool:
        try:
            decode(data)
        except errors:
            return False
        return True

    return check


def same_again(
    decode: Callable[[bytes], Any], encode: Callable[[Any], bytes], *errors: type[Exception]
) -> Check:
    """And what is accepted has one encoding."""

    def check(data: bytes) -> bool:
        try:
            value = decode(data)
        except errors:
            return False
        assert encode(value) == data, f"two encodings of {value!r}"
        return True

    return check


def event_bytes(rng: Random) -> Iterable[bytes]:
    """Events of every kind."""
    for cls, kind in _KINDS.items():
        for _ in range(SEEDS_EACH):
            yield cbor.encode([kind, *samples.items(cls, rng)])
