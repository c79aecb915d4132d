"""Blobs between members: the bulk lane, and both its sides together.

Small blobs are asked of one peer as a list and come in order, each as a header and its bytes;
whatever that peer lacks, or fails to deliver with the right digest, is asked of the next source.
Large ones come by chunks from several holders at once (`mesh.node.gather`). Nothing enters the
store that is not what its id says, so a lying holder can waste time and nothing else; it is
counted, named and not asked again for a while.

Who may have a blob is told by the caller, and by `holders` when those do not have it.

The same blob is fetched once however many shards wait for it, but nobody waits for long for a
fetch that somebody else's source holds up. Everything under way with a peer ends when the peer is
gone (`forget`) or removed (`expel`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import attrs
import trio

from mesh.cas.blobs import BlobStore
from mesh.errors import MeshError, StoreBroken, StoreFull
from mesh.limits import (
    BLOB_BYTES_MAX,
    BLOB_CHUNK_BYTES,
    BLOB_REQUEST_MAX,
    FETCH_LARGE_AT_ONCE,
    FETCH_SOURCES_MAX,
)
from mesh.node.blob_server import BlobServer
from mesh.node.bulk import Bulk
from mesh.node.bulk_streams import BulkStreams, Shunned
from mesh.node.config import LinkConfig
from mesh.node.counters import Counters
from mesh.node.gather import Gather, GatherParts, Wanted
from mesh.node.links import Links
from mesh.ports import ByteStream, Env, StreamBroken
from mesh.types import Digest, NodeId
from mesh.wire.errors import WireError
from mesh.wire.frame import FrameReader, frame
from mesh.wire.messages import BlobChunk, BlobHeader, FetchBlobs
from mesh.wire.schema import encode_message

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

    def is_large(self, digest: Digest) -> bool:
        """Whether it is known to come by chunks."""
        return self.sizes.get(digest, 0) > BLOB_CHUNK_BYTES

    def wanted(self, digest: Digest) -> Wanted:
        return Wanted(digest, self.sizes.get(digest), self.max_bytes)


@attrs.frozen
class _Wish:
    """One call of `fetch`, without its digests."""

    sources: Sequence[NodeId]
    progress: Progress
    expected: Expected
    large: dict[Digest, None] = attrs.field(factory=dict)
    """Blobs that turned out to be large."""


class BlobExchange:
    """Fetches blobs from peers and serves ours."""

    def __init__(self, env: Env, store: BlobStore, links: Links, config: LinkConfig) -> None:
        self._store = store
        self._config = config
        self._now = env.clock.monotonic
        self._streams = BulkStreams(links, config, self._now)
        self._under_way: dict[Digest, trio.Event] = {}
        self._gathers: dict[Digest, Gather] = {}
        self.holders: Callable[[Digest], Sequence[NodeId]] = lambda _digest: ()
        """Peers that are said to have a blob, best first; set by whoever hears of it."""
        self.counters = Counters()
        self.server = BlobServer(env, store, config, self.counters)
        self.server.partial = self._gathers.get
        self._parts = GatherParts(
            store=store,
            streams=self._streams,
            config=config,
            counters=self.counters,
            now=self._now,
            draw=env.entropy.random,
            run_sync=env.exec.run_sync,
            lied=self._lied,
            may_ask=lambda node: node in links.by_node,
        )

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

        Raises StoreFull, StoreBroken.
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
        missing = [digest for digest in digests if not wish.expected.is_large(digest)]
        for source in wish.sources:
            if not missing:
                break
            await self._try(source, missing, wish)
            missing = [d for d in self._store.missing(missing) if d not in wish.large]
        if missing:
            await self._ask_holders(missing, wish)
        large = [d for d in digests if wish.expected.is_large(d) or d in wish.large]
        await self._fetch_large(large, wish)

    async def _ask_holders(self, missing: list[Digest], wish: _Wish) -> None:
        """Those that nobody had whom the caller has named."""
        told: dict[NodeId, list[Digest]] = {}
        for digest in missing:
            for node in self.holders(digest):
                if node not in wish.sources:
                    told.setdefault(node, []).append(digest)
        for node, theirs in list(told.items())[:FETCH_SOURCES_MAX]:
            if still := [d for d in self._store.missing(theirs) if d not in wish.large]:
                await self._try(node, still, wish)

    async def _try(self, source: NodeId, digests: list[Digest], wish: _Wish) -> None:
        """Have one source deliver what it can; what it does wrong is counted and remembered."""
        if self._streams.is_shunned(source):
            self.counters.add("fetch.shunned")
            return
        began_s = self._now()
        try:
            async with self._streams.to(source) as bulk:
                for start in range(0, len(digests), BLOB_REQUEST_MAX):
                    await self._ask(bulk, digests[start : start + BLOB_REQUEST_MAX], wish)
        except Shunned:
            self.counters.add("fetch.shunned")
        except StreamBroken:
            self.counters.add("fetch.broken")
            self._streams.shun_for_cost(source, began_s)
        except WireError as error:
            self._lied(source, error)

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
            if header.size_bytes > BLOB_CHUNK_BYTES:
                wish.large[digest] = None
                continue
            await self._receive(bulk, digest, header.size_bytes, wish.progress)

    async def _receive(
        self, bulk: Bulk, digest: Digest, size_bytes: int, progress: Progress
    ) -> None:
        with self._store.receiver(digest, size_bytes) as writer:
            if size_bytes:
                chunk = await bulk.next()
                if not isinstance(chunk, BlobChunk) or len(chunk.data) != size_bytes:
                    raise WireError("bulk-chunk")
                writer.write(chunk.data)
                progress(size_bytes)
            writer.finish()

    async def _fetch_large(self, digests: list[Digest], wish: _Wish) -> None:
        limit = trio.CapacityLimiter(FETCH_LARGE_AT_ONCE)
        if len(digests) == 1:
            await self._gather(digests[0], wish, limit)
        elif digests:
            trouble: list[MeshError] = []

            async def gather(digest: Digest) -> None:
                try:
                    await self._gather(digest, wish, limit)
                except (StoreFull, StoreBroken) as error:
                    trouble.append(error)
                    nursery.cancel_scope.cancel()

            async with trio.open_nursery() as nursery:
                for digest in digests:
                    nursery.start_soon(gather, digest)
            if trouble:
                raise trouble[0]

    async def _gather(self, digest: Digest, wish: _Wish, limit: trio.CapacityLimiter) -> None:
        async with limit:
            if digest in self._gathers:
                return  # somebody else's, who waits longer than we do
            sources = dict.fromkeys((*wish.sources, *self.holders(digest)))
            able = [node for node in sources if not self._streams.is_shunned(node)]
            if len(able) < len(sources):
                self.counters.add("fetch.shunned", len(sources) - len(able))
            wanted = wish.expected.wanted(digest)
            gather = self._gathers[digest] = Gather(self._parts, wanted, able, wish.progress)
            try:
                await gather.run()
            finally:
                del self._gathers[digest]

    def _lied(self, source: NodeId, error: WireError) -> None:
        self.counters.add(f"fetch.bad-input.{error.reason}")
        self.counters.add(f"lied.{source.hex()[:16]}")
        self._streams.shun_for_lie(source)

    # -- peers ----------------------------------------------------------------------------------
    async def serve(self, stream: ByteStream, peer: NodeId, reader: FrameReader) -> None:
        """Answer one peer's bulk stream until it ends."""
        await self.server.serve(stream, peer, reader)

    def forget(self, node: NodeId) -> None:
        """The peer is gone: end what we fetch from it and close its streams."""
        self._streams.forget(node)

    def close(self) -> None:
        """This node leaves: close every stream of ours."""
        self._streams.close()

    def expel(self, node: NodeId) -> None:
        """The peer is no member any more: it gets nothing more, and we take nothing from it."""
        self.forget(node)
        self.server.expel(node)
