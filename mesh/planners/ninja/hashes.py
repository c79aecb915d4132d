"""The two hash functions of ninja's build log, over the bytes of a command.

Log versions 5 and 6 use MurmurHash64A (Austin Appleby, 2008, public domain) with ninja's seed;
version 7 uses rapidhash (Nicolas De Carli, 2024, first version, default seed and secret). Written
from their definitions, and checked in the tests against what real ninjas write.
"""

from __future__ import annotations

_MASK = (1 << 64) - 1

_MURMUR_SEED = 0xDECAFBADDECAFBAD
_MURMUR_M = 0xC6A4A7935BD1E995
_MURMUR_R = 47

_RAPID_SEED = 0xBDD89AA982704029
_RAPID_SECRET = (0x2D358DCCAA6C78A5, 0x8BB84B93962EACC9, 0x4B33A62ED433D4A3)


def murmur64a(data: bytes) -> int:
    """MurmurHash64A with ninja's seed, an unsigned 64-bit integer."""
    length = len(data)
    state = _MURMUR_SEED ^ (length * _MURMUR_M & _MASK)
    whole = length - length % 8
    for at in range(0, whole, 8):
        block = int.from_bytes(data[at : at + 8], "little") * _MURMUR_M & _MASK
        block ^= block >> _MURMUR_R
        state = (state ^ (block * _MURMUR_M & _MASK)) * _MURMUR_M & _MASK
    if whole < length:
        state = (state ^ int.from_bytes(data[whole:], "little")) * _MURMUR_M & _MASK
    state ^= state >> _MURMUR_R
    state = state * _MURMUR_M & _MASK
    return state ^ (state >> _MURMUR_R)


def rapidhash(data: bytes) -> int:
    """rapidhash version 1 with its default seed, an unsigned 64-bit integer."""
    first, second, third = _RAPID_SECRET
    length = len(data)
    seed = _RAPID_SEED ^ (_mix(_RAPID_SEED ^ first, second) ^ length)
    if length <= 16:
        low, high = _short(data)
    else:
        at = 0
        if length > 48:
            seed, at = _long(data, seed)
        left = length - at
        if left > 16:
            seed = _mix(_read(data, at, 8) ^ third, _read(data, at + 8, 8) ^ seed ^ second)
            if left > 32:
                seed = _mix(_read(data, at + 16, 8) ^ third, _read(data, at + 24, 8) ^ seed)
        low, high = _read(data, length - 16, 8), _read(data, length - 8, 8)
    product = (low ^ second) * (high ^ seed)
    return _mix((product & _MASK) ^ first ^ length, (product >> 64) ^ second)


def _short(data: bytes) -> tuple[int, int]:
    """The two words that up to 16 bytes are read as."""
    length = len(data)
    if length >= 4:
        last = length - 4
        delta = (length & 24) >> (length >> 3)
        low = _read(data, 0, 4) << 32 | _read(data, last, 4)
        return low, _read(data, delta, 4) << 32 | _read(data, last - delta, 4)
    if length > 0:
        return data[0] << 56 | data[length >> 1] << 32 | data[-1], 0
    return 0, 0


def _long(data: bytes, seed: int) -> tuple[int, int]:
    """Whole blocks of 48 bytes; returns the state and where the rest begins."""
    lanes = [seed, seed, seed]
    at = 0
    while len(data) - at >= 48:
        for lane in range(3):
            here = at + 16 * lane
            word = _read(data, here, 8) ^ _RAPID_SECRET[lane]
            lanes[lane] = _mix(word, _read(data, here + 8, 8) ^ lanes[lane])
        at += 48
    return lanes[0] ^ lanes[1] ^ lanes[2], at


def _mix(left: int, right: int) -> int:
    product = left * right
    return (product & _MASK) ^ (product >> 64)


def _read(data: bytes, at: int, size_bytes: int) -> int:
    return int.from_bytes(data[at : at + size_bytes], "little")
