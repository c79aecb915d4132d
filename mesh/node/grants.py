"""Handing shards over: what a thief is sent with a lease.

Rules
- A grant never exceeds a message: long commands are spread over several, one that fits into none
  stays here.
- Small blobs (trees, toolchains, little sources) ride along once per peer and link; they save the
  thief a question each. It can ask for them again, so nothing depends on them.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from mesh.action.model import Action, Toolchain, Tree
from mesh.limits import (
    FRAME_BYTES_MAX,
    INLINE_BLOB_BYTES_MAX,
    INLINE_BLOB_FRAME_BYTES,
    INLINE_GRANT_BYTES_MAX,
)
from mesh.node.perform import Performer, plain_text
from mesh.scheduler import model as m
from mesh.types import Digest, NodeId
from mesh.wire import messages as wire
from mesh.wire.blobid import blob_id

SENT_DIGESTS_MAX = 65_536
GRANT_BYTES_MAX = FRAME_BYTES_MAX // 2 - 64 * 1024
"""Commands in one grant; names and small blobs take the rest of the message."""
NAME_BYTES = 1000


@attrs.frozen
class ShardJob:
    """A shard with everything that is needed to run it here or to hand it over."""

    shard: m.Shard
    action: Action
    action_bytes: bytes
    digest: Digest
    tree: Tree
    tree_bytes: bytes
    toolchain: Toolchain
    toolchain_bytes: bytes
    timeout_s: float
    memory_bytes: int
    tool_dirs: tuple[str, ...] = ()
    live: bool = False
    cacheable: bool = True

    @property
    def fits_a_message(self) -> bool:
        return len(self.action_bytes) <= GRANT_BYTES_MAX


class GrantPacker:
    """Makes `Grant` messages and remembers which small blobs each peer has had."""

    def __init__(self, performer: Performer, lease_s: float) -> None:
        self._performer = performer
        self._lease_ms = round(lease_s * 1000)
        self._sent: dict[NodeId, dict[Digest, None]] = {}

    def forget(self, peer: NodeId) -> None:
        self._sent.pop(peer, None)

    def pack(
        self, peer: NodeId, leased: Iterable[tuple[m.Lease, ShardJob]]
    ) -> Iterable[wire.Grant]:
        """As few messages as they fit into. Every job must fit one by itself."""
        shards: list[wire.GrantedShard] = []
        blobs: list[wire.InlineBlob] = []
        room, command_bytes = INLINE_GRANT_BYTES_MAX, 0
        for lease, job in leased:
            assert job.fits_a_message
            command_bytes += len(job.action_bytes)
            if command_bytes > GRANT_BYTES_MAX:
                yield wire.Grant(tuple(shards), self._lease_ms, tuple(blobs))
                shards, blobs = [], []
                room, command_bytes = INLINE_GRANT_BYTES_MAX, len(job.action_bytes)
            shards.append(_granted(lease, job))
            for blob in self._inline(peer, job, room):
                room -= len(blob) + INLINE_BLOB_FRAME_BYTES
                blobs.append(wire.InlineBlob(blob))
        if shards:
            yield wire.Grant(tuple(shards), self._lease_ms, tuple(blobs))

    def _inline(self, peer: NodeId, job: ShardJob, room: int) -> list[bytes]:
        """Small blobs the peer has not had from us yet, as far as they fit."""
        sent = self._sent.setdefault(peer, {})
        blobs: list[bytes] = []
        for data in (job.tree_bytes, job.toolchain_bytes):
            digest = blob_id(data)
            if digest in sent:
                continue
            self._performer.offer(data)  # no project file stands for it: the thief may ask for it
            if len(data) <= min(INLINE_BLOB_BYTES_MAX, room):
                sent[digest] = None
                blobs.append(data)
                room -= len(data) + INLINE_BLOB_FRAME_BYTES
        for entry in job.tree.entries:
            if entry.size_bytes > min(INLINE_BLOB_BYTES_MAX, room) or entry.digest in sent:
                continue
            read = self._performer.read_small(entry)
            if read is not None:
                sent[entry.digest] = None
                blobs.append(read)
                room -= len(read) + INLINE_BLOB_FRAME_BYTES
        while len(sent) > SENT_DIGESTS_MAX:
            del sent[next(iter(sent))]
        return blobs


def _granted(lease: m.Lease, job: ShardJob) -> wire.GrantedShard:
    return wire.GrantedShard(
        lease=lease.id,
        run=lease.shard.key[0],
        name=plain_text(lease.shard.name, NAME_BYTES),
        action=job.action_bytes,
        timeout_ms=round(job.timeout_s * 1000),
        memory_bytes=job.memory_bytes,
        weight_ms=round(job.shard.weight_s * 1000),
        speculative=lease.speculative,
        live_output=job.live,
        cacheable=job.cacheable,
        shard=lease.shard.key[1],
    )
