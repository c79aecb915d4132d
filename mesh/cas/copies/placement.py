"""Where copies of a blob belong: weighted rendezvous hashing.

Everybody who knows the same members gets the same order, and a member that comes or goes moves only
what it gains or loses. A member with twice the room is twice as often first. Members may have a
failure domain (a rack, a household): copies go to different domains as long as there are any.

Source: Schindelhauer and Schomaker 2005, "Weighted distributed hash tables" (the logarithmic
method); Thaler and Ravishankar 1998 (rendezvous). Sans-IO.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256

import attrs

from mesh.types import Digest, NodeId

_MASK = 2**64 - 1


@attrs.frozen
class Place:
    """A member that may keep blobs."""

    weight: float = 1.0
    """Its free room, in any unit that is the same for all."""
    domain: str = ""
    """What fails together with it; empty: nothing."""


def order(blob: Digest, places: Mapping[NodeId, Place]) -> list[NodeId]:
    """All members, those first where the blob belongs."""
    number = int.from_bytes(blob[:8], "big")
    scored = [(_cost(number, node, place.weight), node) for node, place in places.items()]
    scored.sort()
    return [node for _, node in scored]


def spread(
    ordered: Iterable[NodeId], places: Mapping[NodeId, Place], taken: Iterable[NodeId], more: int
) -> list[NodeId]:
    """The next `more` members to keep a copy, in that order, when `taken` have one."""
    have = set(taken)
    domains = {places[node].domain for node in have if node in places} - {""}
    rest = [node for node in ordered if node not in have]
    chosen: list[NodeId] = []
    for node in rest:
        if len(chosen) == more:
            return chosen
        domain = places[node].domain
        if domain not in domains:
            chosen.append(node)
            if domain:
                domains.add(domain)
    second = [node for node in rest if node not in chosen]
    return chosen + second[: more - len(chosen)]


def precede(node: NodeId, ordered: Sequence[NodeId]) -> Sequence[NodeId]:
    """Those before `node`."""
    return ordered[: ordered.index(node)]


def _cost(blob: int, node: NodeId, weight: float) -> float:
    """Exponentially distributed with the weight as its rate: the least of them wins in proportion
    to the weights."""
    mixed = _mix(blob ^ _seed(node))
    uniform = ((mixed >> 11) + 1) * 2.0**-53
    return -math.log(uniform) / max(weight, 1e-9)


@lru_cache(maxsize=4096)
def _seed(node: NodeId) -> int:
    return int.from_bytes(sha256(node).digest()[:8], "big")


def _mix(number: int) -> int:
    """splitmix64's finaliser (Steele, Lea and Flood 2014): every bit of the input matters."""
    number = (number + 0x9E3779B97F4A7C15) & _MASK
    number = ((number ^ (number >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    number = ((number ^ (number >> 27)) * 0x94D049BB133111EB) & _MASK
    return number ^ (number >> 31)
