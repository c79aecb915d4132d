"""Which linked peers have which of the blobs that are needed, as they say themselves.

Rules
- A peer tells beginnings of ids, PREFIX_BYTES each: what is asked of it in vain costs one question,
  and a lie no more.
- What it says first on a link replaces everything before; its numbers have no gaps, else it is not
  believed from there on. What it has said is forgotten with the link.
- One look-up for all peers: a table of beginnings, with a bit for each peer that has one.

Sans-IO; look-ups are safe in any thread.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from mesh.limits import HOLDINGS_PREFIXES_MAX
from mesh.types import Digest, NodeId
from mesh.wire.blob_messages import PREFIX_BYTES, Holdings
from mesh.wire.errors import WireError

DEFAULT_ROOM = 4
"""16 GiB: of a peer that has not said what room it has."""
SPARE_BITS = 64


@attrs.define
class _Peer:
    """What one peer has said."""

    bit: int
    number: int = -1
    room: int = DEFAULT_ROOM
    prefixes: int = 0


class HolderBoard:
    """See the module's head."""

    def __init__(self) -> None:
        self._peers: dict[NodeId, _Peer] = {}
        self._table: dict[bytes, int] = {}
        self._next_bit = 0
        self._live = 0
        """The bits of peers that are linked; others are left over and mean nothing."""

    def room(self, peer: NodeId) -> int:
        """As a power of two, in GiB."""
        known = self._peers.get(peer)
        return known.room if known is not None else DEFAULT_ROOM

    def holders(self, blob: Digest) -> list[NodeId]:
        """Peers that say they have it."""
        mask = self._table.get(blob[:PREFIX_BYTES], 0) & self._live
        if not mask:
            return []
        return [node for node, peer in list(self._peers.items()) if mask >> peer.bit & 1]

    def count(self, blob: Digest) -> int:
        """How many."""
        return (self._table.get(blob[:PREFIX_BYTES], 0) & self._live).bit_count()

    def heard(self, node: NodeId, told: Holdings) -> None:
        """Raises WireError ("holdings-order", "holdings-size")."""
        peer = self._peers.get(node)
        if told.number == 0:
            self.forget(node)
            peer = self._peers[node] = self._new_peer()
        if peer is None or told.number != peer.number + 1:
            self.forget(node)
            raise WireError("holdings-order", str(told.number))
        if len(told.add) % PREFIX_BYTES or len(told.drop) % PREFIX_BYTES:
            raise WireError("holdings-size")
        peer.number = told.number
        peer.room = told.room_gib_log2
        self._drop(peer, told.drop)
        peer.prefixes += len(told.add) // PREFIX_BYTES
        if peer.prefixes > HOLDINGS_PREFIXES_MAX:
            self.forget(node)
            raise WireError("holdings-size", "too many")
        bit, table = 1 << peer.bit, self._table
        for prefix in _pieces(told.add):
            if prefix in table or len(table) < HOLDINGS_PREFIXES_MAX:
                table[prefix] = table.get(prefix, 0) | bit

    def forget(self, node: NodeId) -> None:
        """The link is gone."""
        peer = self._peers.pop(node, None)
        if peer is not None:
            self._live &= ~(1 << peer.bit)

    def _drop(self, peer: _Peer, prefixes: bytes) -> None:
        bit, table = 1 << peer.bit, self._table
        for prefix in _pieces(prefixes):
            mask = table.get(prefix, 0)
            if mask & bit:
                peer.prefixes -= 1
                if mask == bit:
                    del table[prefix]
                else:
                    table[prefix] = mask & ~bit

    def _new_peer(self) -> _Peer:
        if self._next_bit > 2 * len(self._peers) + SPARE_BITS:
            self._renumber()
        bit = self._next_bit
        self._next_bit += 1
        self._live |= 1 << bit
        return _Peer(bit)

    def _renumber(self) -> None:
        """Bits of peers that are gone are given to others."""
        moves = {peer.bit: new for new, peer in enumerate(self._peers.values())}
        table: dict[bytes, int] = {}
        for prefix, mask in self._table.items():
            moved = sum(1 << new for old, new in moves.items() if mask >> old & 1)
            if moved:
                table[prefix] = moved
        for peer in self._peers.values():
            peer.bit = moves[peer.bit]
        self._table = table
        self._next_bit = len(self._peers)
        self._live = (1 << self._next_bit) - 1


def _pieces(prefixes: bytes) -> Iterator[bytes]:
    for at in range(0, len(prefixes), PREFIX_BYTES):
        yield prefixes[at : at + PREFIX_BYTES]
