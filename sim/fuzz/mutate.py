"""From one input to another: flipped and moved bytes, and changed trees of CBOR.

Bytes alone rarely get past the first length field; trees alone never make what is not CBOR. Both
take their choices from one generator, so a seed and a number name an input.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import cbor2

INTERESTING = (
    *(b"\x00", b"\xff", b"\x9f", b"\xbf", b"\x5f", b"\x7f", b"\xf6", b"\xf7", b"\xf9\x00\x00"),
    *(b"\x1b" + b"\xff" * 8, b"\x3b" + b"\xff" * 8, b"\x9b" + b"\xff" * 8, b"\xc2\x40", b"\xa0"),
    *(b"\x18\x00", b"\x19\x00\x17", b"\x58\x00", b"\x78\x01\xff", b"\xf8\x20", b"\xd9\xd9\xf7"),
)
NUMBERS = (0, 1, -1, 23, 24, 255, 256, 65_535, 2**31, 2**32, 2**48, 2**63 - 1, 2**64 - 1)
STEPS_MAX = 4
SIZE_MAX = 1 << 16


def mutated(data: bytes, corpus: Sequence[bytes], rng: Random) -> bytes:
    """Another input."""
    for _ in range(rng.randint(1, STEPS_MAX)):
        data = _tree(data, rng) if rng.random() < 0.35 else _bytes(data, corpus, rng)
    return data[:SIZE_MAX]


def _bytes(data: bytes, corpus: Sequence[bytes], rng: Random) -> bytes:  # noqa: PLR0911 - one a way
    at = rng.randint(0, len(data))
    end = min(len(data), at + rng.choice((1, 1, 2, 4, 8, 32, 200)))
    match rng.randint(0, 6):
        case 0 if at < len(data):
            return data[:at] + bytes([data[at] ^ (1 << rng.randint(0, 7))]) + data[at + 1 :]
        case 1:
            return data[:at] + data[end:]
        case 2:
            return data[:end] + data[at:]
        case 3:
            return data[:at] + rng.choice(INTERESTING) + data[at:]
        case 4:
            return data[:at] + rng.choice(INTERESTING) + data[end:]
        case 5:
            other = rng.choice(corpus) if corpus else data
            return data[:at] + other[rng.randint(0, len(other)) :]
    return data[:at] + rng.randbytes(end - at) + data[end:]


def _tree(data: bytes, rng: Random) -> bytes:
    try:
        tree = cbor2.loads(data)
        return cbor2.dumps(_changed(tree, rng))
    except Exception:  # noqa: BLE001 - it was no CBOR, or becomes none
        return data


def _changed(item: Any, rng: Random) -> Any:  # noqa: PLR0911 - one a kind
    if isinstance(item, list) and item and rng.random() < 0.85:
        at = rng.randrange(len(item))
        match rng.randint(0, 5):
            case 0:
                return item[:at] + item[at + 1 :]
            case 1:
                return [*item[:at], item[at], *item[at:]]
            case 2:
                other = rng.randrange(len(item))
                return [item[other] if each == at else item[each] for each in range(len(item))]
        return [*item[:at], _changed(item[at], rng), *item[at + 1 :]]
    if isinstance(item, bytes) and rng.random() < 0.7:
        if rng.random() < 0.3:  # there may be something inside
            return _tree(item, rng)
        return item[:-1] if rng.random() < 0.5 else item + b"\0"
    if isinstance(item, int) and rng.random() < 0.7:
        return rng.choice(NUMBERS) if rng.random() < 0.7 else item + rng.choice((-1, 1))
    return rng.choice((None, True, 0, -1, 1.5, "", "text", b"", [], [[]], {}, {1: 2}))
