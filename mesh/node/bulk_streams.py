"""Bulk streams to holders: opened when needed, kept for the next fetch, ended with the peer.

A holder that has lied or failed slowly is shunned: nobody asks it for a while, and nobody queues up
for it. That outlives its link: who lies gains nothing by connecting anew, and each further lie
doubles the while. Not here: what is asked (`mesh.node.blobs`, `mesh.node.gather`).
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import trio

from mesh.node.bulk import Bulk, Pool
from mesh.node.config import LinkConfig
from mesh.node.links import Links
from mesh.ports import StreamBroken
from mesh.types import NodeId

SHUN_FACTOR = 4.0
"""A source that failed slowly is left alone for this many times what it cost."""
LIES_DOUBLED_MAX = 6
"""A liar is left alone for 64 times as long as after its first lie, at most."""


class Shunned(StreamBroken):
    """It is not asked now."""


class BulkStreams:
    """See the module's head."""

    def __init__(self, links: Links, config: LinkConfig, now: Callable[[], float]) -> None:
        self._links = links
        self._config = config
        self._now = now
        self._pools: dict[NodeId, Pool] = {}
        self._shunned_until: dict[NodeId, float] = {}
        self._lies: dict[NodeId, int] = {}
        """Of members, as are the keys of the others here: no more than there have been."""

    @asynccontextmanager
    async def to(self, node: NodeId) -> AsyncIterator[Bulk]:
        """A stream of one's own; kept at the end unless something is raised. Raises StreamBroken,
        also when the peer goes meanwhile, and Shunned."""
        pool = self._pools.setdefault(node, Pool(self._config.bulk_streams_max))
        with trio.CancelScope() as scope:
            pool.users[scope] = None
            try:
                async with pool.limit:
                    if self.is_shunned(node):  # meanwhile: nobody queues up for a stalled peer
                        raise Shunned("it has failed lately")
                    async with self._stream(node, pool) as bulk:
                        yield bulk
            finally:
                del pool.users[scope]
        if scope.cancelled_caught:
            raise StreamBroken("the peer is gone")

    @asynccontextmanager
    async def _stream(self, node: NodeId, pool: Pool) -> AsyncIterator[Bulk]:
        if pool.idle:
            bulk = pool.idle.pop()
        else:
            bulk = Bulk(await self._links.open_bulk(node), self._config)
        try:
            yield bulk
        except BaseException:
            await bulk.close()
            raise
        if pool.closed:
            await bulk.close()
        else:
            pool.idle.append(bulk)

    # -- trust -----------------------------------------------------------------------------------
    def is_shunned(self, node: NodeId) -> bool:
        return self._shunned_until.get(node, -math.inf) > self._now()

    def shun(self, node: NodeId, seconds: float) -> None:
        """Do not ask it for so long."""
        until_s = max(self._shunned_until.get(node, -math.inf), self._now() + seconds)
        self._shunned_until[node] = until_s

    def shun_for_lie(self, node: NodeId) -> None:
        """It has given other bytes than it should."""
        lies = self._lies[node] = self._lies.get(node, 0) + 1
        self.shun(node, self._config.liar_shunned_s * 2 ** min(lies - 1, LIES_DOUBLED_MAX))

    def shun_for_cost(self, node: NodeId, since_s: float) -> None:
        """It has failed after a wait that began at `since_s`."""
        self.shun(node, SHUN_FACTOR * (self._now() - since_s))

    # -- peers -----------------------------------------------------------------------------------
    def forget(self, node: NodeId) -> None:
        """The peer is gone: end what is fetched from it and close its streams."""
        if (pool := self._pools.pop(node, None)) is not None:
            pool.close()

    def close(self) -> None:
        """Close every stream."""
        for node in list(self._pools):
            self.forget(node)
