"""Blobs between members: the bulk lane, both sides.

A fetch asks one peer for a list of blobs over a bulk stream and gets them in order, each as a
header and chunks; whatever that peer lacks, or fails to deliver with the right digest, is asked of
the next source. Every blob is checked against its digest before it enters the store, so a lying
holder can waste time and nothing else; it is counted and named.

The same blob is fetched once however many shards wait for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio

from mesh.cas.blobs import BlobMissing, BlobStore
from mesh.errors import InputChanged
from mesh.limits import BLOB_CHUNK_BYTES, BLOB_REQUEST_MAX
from mesh.node.config import LinkConfig
from mesh.node.counters import Counters
from mesh.node.link import RECEIVE_BYTES
from mesh.node.links import Links
from mesh.ports import ByteStream, Env, StreamBroken
from mesh.types import Digest, NodeId
from mesh.wire.errors import WireError
from mesh.wire.frame import FrameReader, frame
from mesh.wire.messages import BlobChunk, BlobHeader, FetchBlobs
from mesh.wire.schema import decode_message, encode_message

Progress = Callable[[int], None]
"""Called with the bytes that just arrived."""


@attrs.define
class _Bulk:
    """An open bulk stream and what was read ahead on it."""

    stream: ByteStream
    reader: FrameReader = attrs.field(factory=FrameReader)
    ready: list[Any] = attrs.field(factory=list)

    async def next(self) -> Any:
        while not self.ready:
            data = await self.stream.receive_some(RECEIVE_BYTES)
            if not data:
                raise StreamBroken("closed")
            self.ready += [decode_message(payload) for payload in self.reader.feed(data)]
        return self.ready.pop(0)


class _Pool:
    """At most a few bulk streams per peer; idle ones are kept."""

    def __init__(self, limit: int) -> None:
        self.limit = trio.CapacityLimiter(limit)
        self.idle: list[_Bulk] = []


class BlobExchange:
    """Fetches blobs from peers and serves ours."""

    def __init__(self, env: Env, store: BlobStore, links: Links, config: LinkConfig) -> None:
        self._env = env
        self._store = store
        self._links = links
        self._config = config
        self._pools: dict[NodeId, _Pool] = {}
        self._under_way: dict[Digest, trio.Event] = {}
        self.counters = Counters()
        self.fetched_bytes = 0
        self.served_bytes = 0

    # -- fetching -------------------------------------------------------------------------------
    async def fetch(
        self, digests: Iterable[Digest], sources: Sequence[NodeId], progress: Progress | None = None
    ) -> list[Digest]:
        """Bring the blobs into the store. Returns those that no source delivered."""
        wanted = [digest for digest in dict.fromkeys(digests) if not self._store.has(digest)]
        if not wanted:
            return []
        mine, waiting = [], []
        for digest in wanted:
            under_way = self._under_way.get(digest)
            if under_way is None:
                self._under_way[digest] = trio.Event()
                mine.append(digest)
            else:
                waiting.append(under_way)
        try:
            missing = await self._fetch_mine(mine, sources, progress or (lambda _size: None))
        finally:
            for digest in mine:
                self._under_way.pop(digest).set()
        for event in waiting:
            await event.wait()
        again = [d for d in wanted if d not in missing and not self._store.has(d)]
        if again and waiting:  # another fetch of them failed with its sources; try with ours
            return [*missing, *await self.fetch(again, sources, progress)]
        return [*missing, *again]

    async def _fetch_mine(
        self, digests: list[Digest], sources: Sequence[NodeId], progress: Progress
    ) -> list[Digest]:
        missing = digests
        for source in sources:
            if not missing:
                break
            try:
                async with self._bulk(source) as bulk:
                    for start in range(0, len(missing), BLOB_REQUEST_MAX):
                        batch = missing[start : start + BLOB_REQUEST_MAX]
                        await self._ask(bulk, batch, progress)
            except StreamBroken:
                self.counters.add("fetch.broken")
            except WireError as error:
                self.counters.add(f"fetch.bad-input.{error.reason}")
                self.counters.add(f"lied.{source.hex()[:16]}")
            missing = [digest for digest in missing if not self._store.has(digest)]
        return missing

    async def _ask(self, bulk: _Bulk, digests: list[Digest], progress: Progress) -> None:
        await bulk.stream.send_all(frame(encode_message(FetchBlobs(tuple(digests)))))
        for digest in digests:
            header = await bulk.next()
            if not isinstance(header, BlobHeader) or header.digest != digest:
                raise WireError("bulk-order")
            if header.size_bytes is not None:
                await self._receive(bulk, digest, header.size_bytes, progress)

    async def _receive(
        self, bulk: _Bulk, digest: Digest, size_bytes: int, progress: Progress
    ) -> None:
        with self._store.writer(digest, size_bytes) as writer:
            while writer.written_bytes < size_bytes:
                chunk = await bulk.next()
                if not isinstance(chunk, BlobChunk) or not chunk.data:
                    raise WireError("bulk-chunk")
                writer.write(chunk.data)
                self.fetched_bytes += len(chunk.data)
                progress(len(chunk.data))
            writer.finish()

    @asynccontextmanager
    async def _bulk(self, node: NodeId) -> AsyncIterator[_Bulk]:
        pool = self._pools.setdefault(node, _Pool(self._config.bulk_streams_max))
        async with pool.limit:
            bulk = pool.idle.pop() if pool.idle else None
            if bulk is None:
                bulk = _Bulk(await self._links.open_bulk(node))
            try:
                yield bulk
            except BaseException:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
                    await bulk.stream.aclose()
                raise
            pool.idle.append(bulk)

    def forget(self, node: NodeId) -> None:
        """The peer is gone: close its idle streams, without waiting for it."""
        pool = self._pools.pop(node, None)
        for bulk in pool.idle if pool else []:
            trio.lowlevel.spawn_system_task(_close_quietly, bulk.stream)

    # -- serving --------------------------------------------------------------------------------
    async def serve(self, stream: ByteStream) -> None:
        """Answer one peer's bulk stream until it ends."""
        reader = FrameReader()
        try:
            while data := await stream.receive_some(RECEIVE_BYTES):
                for payload in reader.feed(data):
                    await self._answer(stream, decode_message(payload))
        except StreamBroken:
            self.counters.add("serve.broken")
        except WireError as error:
            self.counters.add(f"serve.bad-input.{error.reason}")
        finally:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + 1):
                await stream.aclose()

    async def _answer(self, stream: ByteStream, request: object) -> None:
        if not isinstance(request, FetchBlobs):
            raise WireError("bulk-request")
        for digest in request.digests:
            await self._send(stream, digest)

    async def _send(self, stream: ByteStream, digest: Digest) -> None:
        try:
            size_bytes = self._store.size(digest)
            if size_bytes <= BLOB_CHUNK_BYTES:
                await self._send_small(stream, digest)
            else:
                await self._send_large(stream, digest, size_bytes)
        except (BlobMissing, InputChanged):
            await stream.send_all(_header(digest, None))

    async def _send_small(self, stream: ByteStream, digest: Digest) -> None:
        data = self._store.read(digest, BLOB_CHUNK_BYTES)
        body = frame(encode_message(BlobChunk(data))) if data else b""
        await stream.send_all(_header(digest, len(data)) + body)
        self.served_bytes += len(data)

    async def _send_large(self, stream: ByteStream, digest: Digest, size_bytes: int) -> None:
        # In a thread: a project file that stands for the blob is copied and hashed first.
        with await self._env.exec.run_sync(self._store.open, digest) as file:
            await stream.send_all(_header(digest, size_bytes))
            while data := file.read(BLOB_CHUNK_BYTES):
                await stream.send_all(frame(encode_message(BlobChunk(data))))
                self.served_bytes += len(data)


async def _close_quietly(stream: ByteStream) -> None:
    with contextlib.suppress(Exception), trio.move_on_after(1):
        await stream.aclose()


def _header(digest: Digest, size_bytes: int | None) -> bytes:
    return frame(encode_message(BlobHeader(digest, size_bytes)))
