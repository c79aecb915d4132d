"""Blobs for other members: the serving side of the bulk lane.

Rules: a peer may have BULK_STREAMS_SERVED_MAX streams open; one that does not read what it asked
for is cut off, so that it holds neither memory nor descriptors of ours. `expel` ends its streams
at once, in the middle of a blob if need be: a removed member gets nothing more.

A blob of more than a chunk is given by chunks, also while we are fetching it ourselves (`partial`),
and whoever asks for one hears who else does.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Protocol

import trio

from mesh.cas.blobs import BlobMissing, BlobStore
from mesh.cas.fetch.bucket import ByteBucket
from mesh.cas.serving import ChunkReader
from mesh.errors import InputChanged
from mesh.limits import (
    BLOB_CHUNK_BYTES,
    BULK_STREAMS_SERVED_MAX,
    SWARM_BLOBS_MAX,
    SWARM_TOLD_MAX,
)
from mesh.node.bulk import CLOSE_S, patience
from mesh.node.config import LinkConfig
from mesh.node.counters import Counters
from mesh.node.link import RECEIVE_BYTES
from mesh.ports import ByteStream, Env, StreamBroken
from mesh.types import Digest, NodeId
from mesh.wire.blob_messages import (
    PIECE_HEAD_BYTES_MAX,
    AskBlob,
    BlobHave,
    BlobPage,
    BlobPiece,
    WantChunks,
    piece_head,
)
from mesh.wire.blobid import Manifest
from mesh.wire.errors import WireError
from mesh.wire.frame import FrameReader, frame
from mesh.wire.messages import BlobChunk, BlobHeader, FetchBlobs
from mesh.wire.schema import decode_message, encode_message

OVERSLEPT_S = 0.25
"""A busy machine wakes us that late: what was not sent meanwhile is sent then."""


class Partial(Protocol):
    """A blob of which we have some chunks."""

    @property
    def manifest(self) -> Manifest | None: ...

    def have(self) -> bytes | None: ...

    def read_chunk(self, index: int) -> bytes | None: ...


class BlobServer:
    """Answers bulk streams from the store."""

    def __init__(self, env: Env, store: BlobStore, config: LinkConfig, counters: Counters) -> None:
        self._env = env
        self._store = store
        self._config = config
        self._counters = counters
        self._open: dict[NodeId, dict[trio.CancelScope, None]] = {}
        self._fetching: OrderedDict[Digest, OrderedDict[NodeId, None]] = OrderedDict()
        """Who has asked for a large blob lately."""
        self._bucket: ByteBucket | None = None
        if config.serve_bytes_per_s:
            self._bucket = ByteBucket(config.serve_bytes_per_s, BLOB_CHUNK_BYTES, OVERSLEPT_S)
        self.partial: Callable[[Digest], Partial | None] = lambda _digest: None
        self.served_bytes = 0

    async def serve(self, stream: ByteStream, peer: NodeId, reader: FrameReader) -> None:
        """Answer one stream until it ends; `reader` has what came in one packet with the Hello."""
        scopes = self._open.setdefault(peer, {})
        with trio.CancelScope() as scope:
            scopes[scope] = None
            try:
                if len(scopes) > BULK_STREAMS_SERVED_MAX:
                    self._counters.add("serve.too-many")
                else:
                    await self._converse(stream, peer, reader)
            except StreamBroken:
                self._counters.add("serve.broken")
            except WireError as error:
                self._counters.add(f"serve.bad-input.{error.reason}")
            finally:
                del scopes[scope]
                if not scopes and self._open.get(peer) is scopes:
                    del self._open[peer]
                with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_S):
                    await stream.aclose()

    def expel(self, peer: NodeId) -> None:
        """End all streams of a peer that is no member any more."""
        for scope in list(self._open.get(peer, ())):
            scope.cancel()
        for peers in self._fetching.values():
            peers.pop(peer, None)

    async def _converse(self, stream: ByteStream, peer: NodeId, reader: FrameReader) -> None:
        data = b""
        while True:
            for payload in reader.feed(data):
                await self._answer(stream, peer, decode_message(payload))
            data = await stream.receive_some(RECEIVE_BYTES)
            if not data:
                return

    async def _answer(self, stream: ByteStream, peer: NodeId, request: object) -> None:
        match request:
            case FetchBlobs(digests):
                for digest in digests:
                    await self._give(stream, digest)
            case AskBlob(digest, pages):
                await self._tell(stream, peer, digest, pages=pages)
            case WantChunks(digest, indices):
                await self._give_chunks(stream, digest, indices)
            case _:
                raise WireError("bulk-request")

    # -- small ones ------------------------------------------------------------------------------
    async def _give(self, stream: ByteStream, digest: Digest) -> None:
        """A blob of one chunk; of a larger one, how large it is."""
        try:
            size_bytes = self._store.size(digest)
            if size_bytes > BLOB_CHUNK_BYTES:
                await self._send(stream, _header(digest, size_bytes))
                return
            data = self._store.read(digest, BLOB_CHUNK_BYTES)
        except (BlobMissing, InputChanged):
            await self._send(stream, _header(digest, None))
            return
        body = frame(encode_message(BlobChunk(data))) if data else b""
        await self._send(stream, _header(digest, len(data)) + body)
        self.served_bytes += len(data)

    # -- large ones ------------------------------------------------------------------------------
    async def _tell(self, stream: ByteStream, peer: NodeId, digest: Digest, *, pages: bool) -> None:
        have, manifest = await self._look_up(digest)
        if manifest is None:
            await self._send(stream, frame(encode_message(BlobHave(digest, None, ()))))
            return
        others = self._meet(peer, digest)
        await self._send(stream, frame(encode_message(BlobHave(digest, have, others))))
        for page in manifest.pages() if pages else ():
            await self._send(stream, frame(encode_message(BlobPage(page))))

    async def _look_up(self, digest: Digest) -> tuple[bytes | None, Manifest | None]:
        """(the chunks we have, as BlobHave says it; the manifest, None when we have nothing)."""
        if self._store.has(digest):
            try:  # in a thread: a blob that nobody has asked for yet is hashed first
                return b"", await self._env.exec.run_sync(self._store.manifest_of, digest)
            except (BlobMissing, InputChanged):
                pass
        partial = self.partial(digest)
        if partial is None or partial.manifest is None:
            return None, None
        return partial.have(), partial.manifest

    async def _give_chunks(
        self, stream: ByteStream, digest: Digest, indices: Sequence[int]
    ) -> None:
        for at, index in enumerate(indices):
            partial = self.partial(digest)
            if partial is None:  # perhaps since a moment ago
                await self._give_stored(stream, digest, indices[at:])
                return
            data = partial.read_chunk(index)
            await self._send(stream, frame(encode_message(BlobPiece(index, data))))
            self.served_bytes += len(data or b"")

    async def _give_stored(
        self, stream: ByteStream, digest: Digest, indices: Sequence[int]
    ) -> None:
        """From the disk to the stream through one buffer, the message's head in front of the chunk:
        each copy of a chunk would cost as much as encrypting it."""
        memory = memoryview(bytearray(PIECE_HEAD_BYTES_MAX + BLOB_CHUNK_BYTES))
        with ExitStack() as stack:
            try:
                if digest not in self._fetching:  # else it was hashed when it was asked for
                    await self._env.exec.run_sync(self._store.manifest_of, digest)
                chunks = stack.enter_context(self._store.chunks(digest))
            except (BlobMissing, InputChanged):
                for index in indices:
                    await self._send(stream, _lacking(index))
                return
            for index in indices:
                size_bytes = self._fill(chunks, index, memory[PIECE_HEAD_BYTES_MAX:])
                if size_bytes is None:
                    await self._send(stream, _lacking(index))
                    continue
                head = piece_head(index, size_bytes)
                begin = PIECE_HEAD_BYTES_MAX - len(head)
                memory[begin:PIECE_HEAD_BYTES_MAX] = head
                await self._send(stream, memory[begin : PIECE_HEAD_BYTES_MAX + size_bytes])
                self.served_bytes += size_bytes

    def _fill(self, chunks: ChunkReader, index: int, room: memoryview) -> int | None:
        """Put one chunk at the beginning of `room`; its size, None when it cannot be had."""
        try:
            return chunks.read_into(index, room)
        except (BlobMissing, InputChanged, IndexError):
            return None

    def _meet(self, peer: NodeId, digest: Digest) -> tuple[NodeId, ...]:
        """Who else has asked for it lately; from now on `peer` is one of them."""
        peers = self._fetching.setdefault(digest, OrderedDict())
        self._fetching.move_to_end(digest)
        others = tuple(other for other in peers if other != peer)
        peers[peer] = None
        peers.move_to_end(peer)
        if len(peers) > SWARM_TOLD_MAX:
            peers.popitem(last=False)
        if len(self._fetching) > SWARM_BLOBS_MAX:
            self._fetching.popitem(last=False)
        return others

    async def _send(self, stream: ByteStream, data: bytes | memoryview) -> None:
        if self._bucket is not None:
            now_s = self._env.clock.monotonic()
            wait_s = self._bucket.take(len(data), now_s)
            if wait_s:
                await self._env.clock.sleep_until(now_s + wait_s)
        with patience(self._config.bulk_message_s):
            await stream.send_all(data)


def _lacking(index: int) -> bytes:
    return frame(encode_message(BlobPiece(index, None)))


def _header(digest: Digest, size_bytes: int | None) -> bytes:
    return frame(encode_message(BlobHeader(digest, size_bytes)))
