"""Blobs between members: the bulk lane, and both its sides together.

A fetch asks one peer for a list of blobs over a bulk stream and gets them in order, each as a
header and chunks; whatever that peer lacks, or fails to deliver with the right digest, is asked of
the next source. Every blob is checked against its digest before it enters the store, so a lying
holder can waste time and nothing else; it is counted, named and not asked again for a while.

The same blob is fetched once however many shards wait for it, but nobody waits for long for a
fetch that somebody else's source holds up. Everything under way with a peer ends when the peer is
gone (`forget`) or removed (`expel`).
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

import attrs
import trio

from mesh.cas.blobs import BlobStore
from mesh.limits import BLOB_BYTES_MAX, BLOB_CHUNK_BYTES, BLOB_REQUEST_MAX
from mesh.node.blob_server import BlobServer
from mesh.node.bulk import Bulk, Pool
from mesh.node.config import LinkConfig
from mesh.node.counters import Counters
from mesh.node.links import Links
from mesh.ports import ByteStream, Env, StreamBroken
from mesh.types import Digest, NodeId
from mesh.wire.errors import WireError
from mesh.wire.frame import FrameReader, frame
from mesh.wire.messages import BlobChunk, BlobHeader, FetchBlobs
from mesh.wire.schema import encode_message

SHUN_FACTOR = 4.0
"""A source that failed slowly is left alone for this many times what it cost."""

Progress = Callable[[int], None]
"""Called with the bytes that just arrived."""


@attrs.frozen
class Expected:
    """What the caller knows of the blobs' sizes: a holder that announces another one lies."""

    sizes: Mapping[Digest, int] = attrs.field(factory=dict)
    max_bytes: int = BLOB_BYTES_MAX
    """For those whose size is not known."""

    def allows(self, digest: Digest, size_bytes: int) -> bool:
        known = self.sizes.get(digest)
        return size_bytes <= self.max_bytes if known is None else size_bytes == known


@attrs.frozen
class _Wish:
    """One call of `fetch`, without its digests."""

    sources: Sequence[NodeId]
    progress: Progress
    expected: Expected


class BlobExchange:
    """Fetches blobs from peers and serves ours."""

    def __init__(self, env: Env, store: BlobStore, links: Links, config: LinkConfig) -> None:
        self._store = store
        self._links = links
        self._config = config
        self._now = env.clock.monotonic
        self._pools: dict[NodeId, Pool] = {}
        self._under_way: dict[Digest, trio.Event] = {}
        self._shunned_until: dict[NodeId, float] = {}
        self.counters = Counters()
        self.server = BlobServer(env, store, config, self.counters)

    @property
    def served_bytes(self) -> int:
        return self.server.served_bytes

    # -- fetching -------------------------------------------------------------------------------
    async def fetch(
        self,
        digests: Iterable[Digest],
        sources: Sequence[NodeId],
        progress: Progress | None = None,
        expected: Expected | None = None,
    ) -> list[Digest]:
        """Bring the blobs into the store. Returns those that no source delivered.

        Raises StoreFull.
        """
        wanted = self._store.missing(digests)
        if not wanted:
            return []
        wish = _Wish(sources, progress or (lambda _size: None), expected or Expected())
        theirs = {d: event for d in wanted if (event := self._under_way.get(d)) is not None}
        mine = [digest for digest in wanted if digest not in theirs]
        self._under_way.update((digest, trio.Event()) for digest in mine)
        try:
            with self._store.in_use():
                await self._fetch(mine, wish)
        finally:
            for digest in mine:
                self._under_way.pop(digest).set()
        with trio.move_on_after(self._config.bulk_stall_s):
            for event in theirs.values():
                await event.wait()
        await self._fetch(self._store.missing(theirs), wish)
        return self._store.missing(wanted)

    async def _fetch(self, digests: list[Digest], wish: _Wish) -> None:
        missing = digests
        for source in wish.sources:
            if not missing:
                return
            if self._is_shunned(source):
                self.counters.add("fetch.shunned")
                continue
            began_s = self._now()
            try:
                await self._fetch_from(source, missing, wish)
            except StreamBroken:
                self.counters.add("fetch.broken")
                self._shun(source, SHUN_FACTOR * (self._now() - began_s))
            except WireError as error:
                self.counters.add(f"fetch.bad-input.{error.reason}")
                self.counters.add(f"lied.{source.hex()[:16]}")
                self._shun(source, self._config.liar_shunned_s)
            missing = self._store.missing(missing)

    async def _fetch_from(self, source: NodeId, digests: list[Digest], wish: _Wish) -> None:
        pool = self._pools.setdefault(source, Pool(self._config.bulk_streams_max))
        with trio.CancelScope() as scope:
            pool.users[scope] = None
            try:
                async with pool.limit:
                    if self._is_shunned(source):  # meanwhile; nobody queues up for a stalled peer
                        return
                    async with self._bulk(source, pool) as bulk:
                        for start in range(0, len(digests), BLOB_REQUEST_MAX):
                            await self._ask(bulk, digests[start : start + BLOB_REQUEST_MAX], wish)
            finally:
                del pool.users[scope]
        if scope.cancelled_caught:
            raise StreamBroken("the peer is gone")

    async def _ask(self, bulk: Bulk, digests: list[Digest], wish: _Wish) -> None:
        await bulk.send(frame(encode_message(FetchBlobs(tuple(digests)))))
        for digest in digests:
            header = await bulk.next()
            if not isinstance(header, BlobHeader) or header.digest != digest:
                raise WireError("bulk-order")
            if header.size_bytes is None:
                continue
            if not wish.expected.allows(digest, header.size_bytes):
                raise WireError("bulk-size", f"{header.size_bytes} bytes announced")
            await self._receive(bulk, digest, header.size_bytes, wish.progress)

    async def _receive(
        self, bulk: Bulk, digest: Digest, size_bytes: int, progress: Progress
    ) -> None:
        with self._store.receiver(digest, size_bytes) as writer:
            while writer.written_bytes < size_bytes:
                chunk = await bulk.next()
                full = min(BLOB_CHUNK_BYTES, size_bytes - writer.written_bytes)
                if not isinstance(chunk, BlobChunk) or len(chunk.data) != full:
                    raise WireError("bulk-chunk")
                writer.write(chunk.data)
                progress(full)
            writer.finish()

    @asynccontextmanager
    async def _bulk(self, node: NodeId, pool: Pool) -> AsyncIterator[Bulk]:
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

    def _is_shunned(self, source: NodeId) -> bool:
        return self._shunned_until.get(source, -math.inf) > self._now()

    def _shun(self, source: NodeId, seconds: float) -> None:
        until_s = max(self._shunned_until.get(source, -math.inf), self._now() + seconds)
        self._shunned_until[source] = until_s

    # -- peers ----------------------------------------------------------------------------------
    async def serve(self, stream: ByteStream, peer: NodeId, reader: FrameReader) -> None:
        """Answer one peer's bulk stream until it ends."""
        await self.server.serve(stream, peer, reader)

    def forget(self, node: NodeId) -> None:
        """The peer is gone: end what we fetch from it and close its streams."""
        if (pool := self._pools.pop(node, None)) is not None:
            pool.close()

    def close(self) -> None:
        """This node leaves: close every stream of ours."""
        for node in list(self._pools):
            self.forget(node)

    def expel(self, node: NodeId) -> None:
        """The peer is no member any more: it gets nothing more, and we take nothing from it."""
        self.forget(node)
        self.server.expel(node)
