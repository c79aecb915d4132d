"""One large blob from several holders at once: streams and the disk around `mesh.cas.fetch.swarm`.

    a holder's task   AskBlob -> BlobHave [-> the manifest's pages, from the first who has it]
                      WantChunks -> BlobPiece ... until nothing is missing

Rules
- Every chunk is compared with the manifest before it is kept; who gives a wrong one is told to the
  owner, by name, and given up; all that it gave before was right and stays.
- A holder joins when there are chunks enough for it; holders tell who else fetches the blob, and
  these are asked, too.
- A member that has only some chunks is asked again what it has when it has nothing for us. When
  nothing has come for `bulk_message_s` and nothing is on its way, it is given up.
- Whatever ends a gathering, what came is on the disk for the next one (`mesh.cas.chunks`).

Not here: which blobs, the pool of streams, blame (`mesh.node.blobs`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from typing import Any

import attrs
import trio

from mesh.cas.blobs import BlobStore
from mesh.cas.chunks import ChunkWriter
from mesh.cas.fetch.swarm import Source, Swarm, bitmap
from mesh.errors import MeshError, StoreBroken, StoreFull
from mesh.limits import BLOB_BYTES_MAX, FETCH_CHUNKS_PER_SOURCE, FETCH_SOURCES_MAX
from mesh.node.bulk import Bulk
from mesh.node.bulk_streams import BulkStreams, Shunned
from mesh.node.config import LinkConfig
from mesh.node.counters import Counters
from mesh.ports import StreamBroken
from mesh.types import Digest, NodeId
from mesh.wire.blob_messages import AskBlob, BlobHave, BlobPage, BlobPiece, PieceView, WantChunks
from mesh.wire.blobid import Manifest, ManifestReader, chunks_of
from mesh.wire.errors import WireError
from mesh.wire.frame import frame
from mesh.wire.schema import encode_message

LOOK_S = 0.25
"""How long a holder with nothing to give waits until it is looked at again."""


@attrs.frozen
class GatherParts:
    """What all gatherings of a node share."""

    store: BlobStore
    streams: BulkStreams
    config: LinkConfig
    counters: Counters
    now: Callable[[], float]
    draw: Callable[[], float]
    run_sync: Callable[..., Awaitable[Any]]
    lied: Callable[[NodeId, WireError], None]
    may_ask: Callable[[NodeId], bool]
    """Whether a member that somebody has named is one that we are linked with."""


@attrs.frozen
class Wanted:
    """The blob, and what is known of it."""

    digest: Digest
    size_bytes: int | None
    """As whoever asks for it knows; None: any up to `max_bytes`."""
    max_bytes: int = BLOB_BYTES_MAX

    def allows(self, size_bytes: int) -> bool:
        if self.size_bytes is None:
            return size_bytes <= self.max_bytes
        return size_bytes == self.size_bytes


class Gather:
    """`await Gather(...).run()`, once. Raises StoreFull, StoreBroken."""

    def __init__(
        self,
        parts: GatherParts,
        wanted: Wanted,
        sources: Sequence[NodeId],
        progress: Callable[[int], None],
    ) -> None:
        self._parts = parts
        self._wanted = wanted
        self._waiting = deque(dict.fromkeys(sources))
        self._known = set(self._waiting)
        self._progress = progress
        self._stack = ExitStack()
        self._opening = trio.Lock()
        self._wake = trio.Event()
        self._at_work: dict[NodeId, trio.CancelScope] = {}
        self._swarm: Swarm | None = None
        self._manifest: Manifest | None = None
        self._writer: ChunkWriter | None = None
        self._trouble: MeshError | None = None
        self._over = False
        self._heard_s = 0.0
        self._nursery: trio.Nursery
        self.given: dict[NodeId, Source] = {}
        """Who has given what, to be looked at afterwards."""

    async def run(self) -> bool:
        """Whether the blob is in the store now."""
        self._heard_s = self._parts.now()
        with self._stack:
            async with trio.open_nursery() as self._nursery:
                self._invite()
            if self._trouble is not None:
                raise self._trouble
            if self._writer is None or self._swarm is None or self._swarm.missing:
                return False
            self._writer.finish()
        return True

    # -- for those who fetch it from us meanwhile ------------------------------------------------
    @property
    def manifest(self) -> Manifest | None:
        return self._manifest

    def have(self) -> bytes | None:
        """A bit per chunk that is here; None before anything is."""
        if self._writer is None or self._manifest is None:
            return None
        return bitmap(self._manifest.chunks, self._writer.missing_chunks())

    def read_chunk(self, index: int) -> bytes | None:
        return None if self._writer is None else self._writer.read_chunk(index)

    # -- who is asked ----------------------------------------------------------------------------
    def _invite(self) -> None:
        """Have as many holders at work as the rest is worth."""
        if self._swarm is not None:
            missing = self._swarm.missing
        else:
            missing = chunks_of(self._wanted.size_bytes or 0)
        worth = min(FETCH_SOURCES_MAX, 1 + missing // FETCH_CHUNKS_PER_SOURCE)
        while self._waiting and len(self._at_work) < worth and not self._over:
            node = self._waiting.popleft()
            scope = self._at_work[node] = trio.CancelScope()
            self._nursery.start_soon(self._from, node, scope)

    def _meet(self, others: Sequence[NodeId]) -> None:
        for node in others:
            if node not in self._known and self._parts.may_ask(node):
                self._known.add(node)
                self._waiting.append(node)
        self._invite()

    def _end(self) -> None:
        """Nobody has anything to do any more: who still sends is cut off."""
        self._over = True
        self._look_again()
        for node, scope in self._at_work.items():
            source = self._swarm.sources.get(node) if self._swarm is not None else None
            if source is None or source.asked:
                scope.cancel()

    def _look_again(self) -> None:
        self._wake.set()
        self._wake = trio.Event()

    # -- one holder ------------------------------------------------------------------------------
    async def _from(self, node: NodeId, scope: trio.CancelScope) -> None:
        parts, began_s = self._parts, self._parts.now()
        try:
            with scope:
                async with parts.streams.to(node) as bulk:
                    if await self._introduce(node, bulk):
                        await self._pull(node, bulk)
        except Shunned:
            parts.counters.add("fetch.shunned")
        except StreamBroken:
            parts.counters.add("fetch.broken")
            source = self.given.get(node)
            parts.streams.shun_for_cost(node, source.heard_s if source is not None else began_s)
        except WireError as error:
            parts.lied(node, error)
        except (StoreFull, StoreBroken) as error:
            self._trouble = error
            self._end()
        finally:
            if self._swarm is not None:
                self._swarm.leave(node)
            del self._at_work[node]
            self._look_again()
        self._invite()

    async def _introduce(self, node: NodeId, bulk: Bulk) -> bool:
        """Learn what it has, and the manifest if nobody has told it yet; whether to go on."""
        async with self._opening:
            pages = self._swarm is None
            have = await self._ask(bulk, pages=pages)
            if have.chunks is None:
                self._parts.counters.add("fetch.lacked")
                return False
            if pages and not await self._open(await self._read_pages(bulk)):
                return False
        if self._over:
            return False
        assert self._swarm is not None
        chunks = have.chunks or None
        self.given[node] = self._swarm.join(node, chunks, self._parts.now())
        self._meet(have.others)
        return True

    async def _ask(self, bulk: Bulk, *, pages: bool) -> BlobHave:
        await bulk.send(frame(encode_message(AskBlob(self._wanted.digest, pages))))
        have = await bulk.next()
        if not isinstance(have, BlobHave) or have.blob != self._wanted.digest:
            raise WireError("bulk-order")
        return have

    async def _read_pages(self, bulk: Bulk) -> Manifest:
        reader = ManifestReader(self._wanted.digest)
        while reader.wanted is not None:
            page = await bulk.next()
            if not isinstance(page, BlobPage):
                raise WireError("bulk-order")
            reader.feed(page.page)
        assert reader.manifest is not None
        return reader.manifest

    async def _open(self, manifest: Manifest) -> bool:
        """The manifest is what the id says: nobody can lie about the size. False when it is not the
        size that was expected: then nobody has what is wanted."""
        parts = self._parts
        if not self._wanted.allows(manifest.size_bytes):
            parts.counters.add("fetch.other-size")
            self._end()
            return False
        writer: ChunkWriter = await parts.run_sync(
            parts.store.writer, self._wanted.digest, manifest
        )
        self._stack.enter_context(writer)
        missing = writer.missing_chunks()
        self._writer, self._manifest = writer, manifest
        self._swarm = Swarm(missing, parts.draw)
        if writer.resumed_chunks:
            parts.counters.add("fetch.resumed-chunks", writer.resumed_chunks)
            here = manifest.size_bytes - sum(manifest.chunk_bytes(index) for index in missing)
            self._progress(here)
        if not missing:
            self._end()
        return bool(missing)

    async def _pull(self, node: NodeId, bulk: Bulk) -> None:
        swarm = self._swarm
        assert swarm is not None
        source = swarm.sources[node]
        while not self._over:
            indices = swarm.next_for(node, self._parts.now())
            if indices:
                wanted = WantChunks(self._wanted.digest, tuple(indices))
                await bulk.send(frame(encode_message(wanted)))
            if source.asked:
                self._take(node, source, bulk, await bulk.next())
                while bulk.ready and source.asked and not self._over:
                    self._take(node, source, bulk, bulk.ready.popleft())
            else:
                await self._wait(node, source, bulk)

    def _take(self, node: NodeId, source: Source, bulk: Bulk, piece: object) -> None:
        swarm, writer = self._swarm, self._writer
        assert swarm is not None
        assert writer is not None
        if not isinstance(piece, PieceView | BlobPiece) or piece.index != next(iter(source.asked)):
            raise WireError("bulk-order")
        if piece.data is None:
            swarm.lacks(node, piece.index)
            return
        writer.put_chunk(piece.index, piece.data)
        if isinstance(piece, PieceView):
            bulk.done(piece)
        self._heard_s = self._parts.now()
        if swarm.arrived(node, piece.index, self._heard_s):
            self._progress(len(piece.data))
            if not swarm.missing:
                self._end()
        else:
            self._parts.counters.add("fetch.twice")

    async def _wait(self, node: NodeId, source: Source, bulk: Bulk) -> None:
        """It has nothing for us now; others may fail, or it may get more."""
        swarm, parts = self._swarm, self._parts
        assert swarm is not None
        with trio.move_on_after(LOOK_S):
            await self._wake.wait()
        if self._over:
            return
        on_the_way = any(each.asked for each in swarm.sources.values())
        if not on_the_way and parts.now() - self._heard_s > parts.config.bulk_message_s:
            parts.counters.add("fetch.given-up")
            self._end()
        elif source.have is not None:
            have = await self._ask(bulk, pages=False)
            if have.chunks is None:
                raise StreamBroken("it has dropped what it had")
            swarm.learn(node, have.chunks or None)
            self._meet(have.others)
        elif not on_the_way and swarm.is_hopeless():
            self._end()
