"""Blobs for other members: the serving side of the bulk lane.

Rules: a peer may have BULK_STREAMS_SERVED_MAX streams open; one that does not read what it asked
for is cut off, so that it holds neither memory nor descriptors of ours. `expel` ends its streams
at once, in the middle of a blob if need be: a removed member gets nothing more.
"""

from __future__ import annotations

import trio

from mesh.cas.blobs import BlobMissing, BlobStore
from mesh.errors import InputChanged
from mesh.limits import BLOB_CHUNK_BYTES, BULK_STREAMS_SERVED_MAX
from mesh.node.bulk import CLOSE_S, patience
from mesh.node.config import LinkConfig
from mesh.node.counters import Counters
from mesh.node.link import RECEIVE_BYTES
from mesh.ports import ByteStream, Env, StreamBroken
from mesh.types import Digest, NodeId
from mesh.wire.errors import WireError
from mesh.wire.frame import FrameReader, frame
from mesh.wire.messages import BlobChunk, BlobHeader, FetchBlobs
from mesh.wire.schema import decode_message, encode_message


class BlobServer:
    """Answers bulk streams from the store."""

    def __init__(self, env: Env, store: BlobStore, config: LinkConfig, counters: Counters) -> None:
        self._env = env
        self._store = store
        self._config = config
        self._counters = counters
        self._open: dict[NodeId, dict[trio.CancelScope, None]] = {}
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
                    await self._converse(stream, reader)
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

    async def _converse(self, stream: ByteStream, reader: FrameReader) -> None:
        data = b""
        while True:
            for payload in reader.feed(data):
                await self._answer(stream, decode_message(payload))
            data = await stream.receive_some(RECEIVE_BYTES)
            if not data:
                return

    async def _answer(self, stream: ByteStream, request: object) -> None:
        if not isinstance(request, FetchBlobs):
            raise WireError("bulk-request")
        for digest in request.digests:
            await self._give(stream, digest)

    async def _give(self, stream: ByteStream, digest: Digest) -> None:
        try:
            size_bytes = self._store.size(digest)
            if size_bytes <= BLOB_CHUNK_BYTES:
                await self._give_small(stream, digest)
            else:
                await self._give_large(stream, digest, size_bytes)
        except (BlobMissing, InputChanged):
            await self._send(stream, _header(digest, None))

    async def _give_small(self, stream: ByteStream, digest: Digest) -> None:
        data = self._store.read(digest, BLOB_CHUNK_BYTES)
        body = frame(encode_message(BlobChunk(data))) if data else b""
        await self._send(stream, _header(digest, len(data)) + body)
        self.served_bytes += len(data)

    async def _give_large(self, stream: ByteStream, digest: Digest, size_bytes: int) -> None:
        # In a thread: a blob that nobody has asked for yet is hashed first.
        manifest = await self._env.exec.run_sync(self._store.manifest_of, digest)
        await self._send(stream, _header(digest, size_bytes))
        for index in range(manifest.chunks):
            data = self._chunk(digest, index)
            await self._send(stream, frame(encode_message(BlobChunk(data))))
            self.served_bytes += len(data)

    def _chunk(self, digest: Digest, index: int) -> bytes:
        try:
            return self._store.read_chunk(digest, index)
        except (BlobMissing, InputChanged) as error:  # too late to say that we do not have it
            raise StreamBroken(f"lost on the way: {error}") from None

    async def _send(self, stream: ByteStream, data: bytes) -> None:
        with patience(self._config.bulk_message_s):
            await stream.send_all(data)


def _header(digest: Digest, size_bytes: int | None) -> bytes:
    return frame(encode_message(BlobHeader(digest, size_bytes)))
