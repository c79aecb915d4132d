"""Where members were last seen, remembered across restarts, so that a node finds back alone.

Only addresses are kept; they are hints, and a wrong one costs a lost datagram. Bounded by
PEERS_FILE_MAX. Not here: who is a member (the roster).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mesh.cas.files import read_cache
from mesh.limits import PEERS_FILE_MAX
from mesh.ports import Disk
from mesh.swim.effects import MemberView, State
from mesh.types import Address, NodeId
from mesh.wire.errors import WireError
from mesh.wire.schema import (
    array,
    c_struct,
    decode_struct,
    encode_struct,
    fixed,
    struct,
    text,
    uint,
)

PEERS_FILE = "peers"


@struct
class KnownPeer:
    node: NodeId = fixed(32)
    host: str = text(64)
    swim_port: int = uint(65_535)


@struct
class KnownPeers:
    peers: tuple[KnownPeer, ...] = array(c_struct(KnownPeer), PEERS_FILE_MAX)


def save_peers(
    disk: Disk, views: Iterable[MemberView], own: NodeId, earlier: Mapping[NodeId, Address]
) -> None:
    """Store the addresses of all who have not left, the reachable ones first; last the `earlier`
    ones of whom nothing has been heard in this life."""
    known = {view.node_id: view for view in views}
    stay = [view for view in known.values() if view.state != State.LEFT and view.node_id != own]
    ranked = sorted(stay, key=lambda view: (view.state, view.node_id))
    peers = [KnownPeer(view.node_id, *view.address) for view in ranked]
    peers += [KnownPeer(node, *address) for node, address in earlier.items() if node not in known]
    disk.write(PEERS_FILE, encode_struct(KnownPeers(tuple(peers[:PEERS_FILE_MAX]))))


def load_peers(disk: Disk) -> list[tuple[NodeId, Address]]:
    """What was stored; nothing when there is none that can be read."""
    data = read_cache(disk, PEERS_FILE)
    if data is None:
        return []
    try:
        known = decode_struct(KnownPeers, data)
    except WireError:
        return []
    return [(peer.node, (peer.host, peer.swim_port)) for peer in known.peers]
