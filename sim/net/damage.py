"""What happens to the bytes of a datagram under way: bits flip, the end goes missing."""

from __future__ import annotations

from collections import Counter

from sim.net.link import Draw, Link

BITS_FLIPPED_MAX = 8


def damaged(data: bytes, link: Link, random: Draw, counters: Counter[str]) -> bytes:
    """The datagram as it arrives; what was done to it is counted."""
    if not data:
        return data
    if link.corruption and random() < link.corruption:
        counters["corrupted"] += 1
        for _ in range(1 + int(random() * BITS_FLIPPED_MAX)):
            data = with_flipped_bit(data, int(random() * len(data) * 8))
    if link.truncation and random() < link.truncation:
        counters["truncated"] += 1
        data = data[: int(random() * len(data))]
    return data


def with_flipped_bit(data: bytes, bit: int) -> bytes:
    """A copy in which bit number `bit` is the other one."""
    flipped = bytearray(data)
    flipped[bit // 8] ^= 1 << bit % 8
    return bytes(flipped)
