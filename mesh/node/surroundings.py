"""Who is near: what we announce on the local network, who does there, and whom a joiner is told.

Nothing here is believed: an announcement is an address to try, and who answers there proves who it
is. Not here: gossip, links, and joining itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

import attrs

from mesh.identity.messages import PeerAddress
from mesh.identity.trust import MeshIdentity
from mesh.node.config import NodeConfig
from mesh.node.counters import Counters
from mesh.node.doors import Doors
from mesh.node.gossip import Gossip
from mesh.node.join_door import DoorAddresses
from mesh.ports import Announcement, Env
from mesh.swim.effects import State

logger = logging.getLogger(__name__)


@attrs.frozen
class Surroundings:
    """See the module's head."""

    env: Env
    config: NodeConfig
    identity: MeshIdentity
    doors: Doors
    gossip: Gossip
    counters: Counters

    async def discover(self, meet: Callable[[Iterable[PeerAddress]], None]) -> None:
        """Announce ourselves, and hand over whoever else does, until cancelled."""
        member = self.identity.me()
        me = Announcement(
            name=member.name if member else self.config.name,
            mesh_prefix=self.identity.mesh_id.hex()[:16],
            mesh_name=self.identity.mesh_name,
            node_prefix=self.identity.node_id.hex()[:16],
            host=self.config.bind[0],
            peer_port=self.doors.port,
            join_port=self.doors.join.address[1],
            swim_port=self.doors.port,
        )
        discovery = self.env.discovery
        try:
            async with discovery.announce(me), discovery.browse() as seen:
                async for what in seen:
                    meet(self._as_member(what, me))
        except Exception:
            # No multicast, no such interface: members still find each other by gossip.
            logger.exception("the network cannot be searched for members")
            self.counters.add("discovery.failed")

    def _as_member(self, what: Announcement, me: Announcement) -> list[PeerAddress]:
        """The member that an announcement claims to be; it proves it when we connect."""
        if what.mesh_prefix != me.mesh_prefix or what.node_prefix == me.node_prefix:
            return []
        return [
            PeerAddress(member.node_id, what.host, what.peer_port, what.swim_port, what.join_port)
            for member in self.identity.members()
            if member.node_id.hex().startswith(what.node_prefix)
        ]

    def door_addresses(self) -> DoorAddresses:
        """What a joiner has to know."""
        host, port = self.config.bind[0], self.doors.port
        others = tuple(
            PeerAddress(
                view.node_id, view.address[0], view.peer_port, view.address[1], view.join_port
            )
            for view in self.gossip.members()
            if view.node_id != self.identity.node_id and view.state is State.ALIVE
        )
        join_port = self.doors.join.address[1]
        return DoorAddresses((host,), port, port, join_port, others)
