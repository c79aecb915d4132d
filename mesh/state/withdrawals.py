"""What an admin who removes a node says that this withdraws, so that everybody can know.

A removal cuts the node's log, and nobody takes or keeps what is beyond the cut: otherwise whoever
has the stolen key could go on writing. But then who comes later could not tell what was made from
withdrawn results. So the admin, who still has them, lists them in registers of its own:

    key = "withdrawn/" ‖ id of the removed node, hexadecimal ‖ "/" ‖ number
    value = (action, outputs) ..., 64 bytes each, at most WITHDRAWN_EACH of them

A list takes nothing away by itself: it counts when an admin wrote it, and a listed result that
anybody whose word counts has got, too, is none (`taint`).

Not here: the closure over what was made from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from mesh.identity.roles import Role
from mesh.identity.standing import Standing
from mesh.limits import EVENT_VALUE_BYTES_MAX
from mesh.state.events import Register
from mesh.state.registers import RegisterKey, Value
from mesh.types import DIGEST_BYTES, Digest, NodeId

PREFIX = "withdrawn/"
PAIR_BYTES = 2 * DIGEST_BYTES
WITHDRAWN_EACH = EVENT_VALUE_BYTES_MAX // PAIR_BYTES
_ACTION, _OUTPUTS = slice(0, DIGEST_BYTES), slice(DIGEST_BYTES + 2, 2 * DIGEST_BYTES + 2)
"""In a row of `attestations`: the two bytes between are the head of a byte string."""

Pair = tuple[Digest, Digest]
"""Action and outputs."""


def pair_in(row: bytes) -> Pair:
    """What a row of `ActionView.kept` is about."""
    return Digest(row[_ACTION]), Digest(row[_OUTPUTS])


def withdrawal_events(node: NodeId, pairs: Iterable[Pair], first: int) -> Iterator[Register]:
    """The registers that list these; `first` is the number of those written before."""
    rest = iter(sorted(pairs))
    number = first
    while part := list(islice(rest, WITHDRAWN_EACH)):
        value = b"".join(action + outputs for action, outputs in part)
        yield Register(f"{PREFIX}{node.hex()}/{number}", value)
        number += 1


def listed(
    registers: Mapping[RegisterKey, Value], standing: Standing
) -> dict[Pair, dict[NodeId, None]]:
    """All that admins list, and on whose account."""
    found: dict[Pair, dict[NodeId, None]] = {}
    for (author, key), value in sorted(registers.items(), key=lambda item: item[0]):
        node = _node_in(key)
        if node is None or not _was_admin(standing, author):
            continue
        for data in (value.value, *value.others):
            for pair in _pairs(data or b""):
                found.setdefault(pair, {})[node] = None
    return found


def _node_in(key: str) -> NodeId | None:
    if not key.startswith(PREFIX):
        return None
    try:
        node = bytes.fromhex(key[len(PREFIX) :].partition("/")[0])
    except ValueError:
        return None
    return NodeId(node) if len(node) == DIGEST_BYTES else None


def _pairs(data: bytes) -> Iterator[Pair]:
    for at in range(0, len(data) - PAIR_BYTES + 1, PAIR_BYTES):
        yield Digest(data[at : at + DIGEST_BYTES]), Digest(data[at + DIGEST_BYTES :][:DIGEST_BYTES])


def _was_admin(standing: Standing, node: NodeId) -> bool:
    return any(life.role is Role.ADMIN for life in standing.lives.get(node, ()))
