"""Run one action here and make a signed result of it. Used for our own shards and for stolen ones.

Errors of the executor become a `Finished` without a result: what the action did wrong (a missing
output, a timeout) is final, what this machine did wrong (no space, cannot start) may be tried
elsewhere.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import attrs

from mesh.action.model import (
    EXECUTABLE,
    FILE,
    LogBlob,
    Result,
    SignedResult,
    TreeEntry,
)
from mesh.action.signing import sign_result
from mesh.cas.blobs import BlobMissing, BlobStore
from mesh.errors import (
    BlobLost,
    Bug,
    EnvironmentFault,
    InputChanged,
    MeshError,
    OutputTooLarge,
    OutputUnnamable,
)
from mesh.limits import (
    FRAME_BYTES_MAX,
    INLINE_BLOB_BYTES_MAX,
    INLINE_BLOB_FRAME_BYTES,
    INLINE_GRANT_BYTES_MAX,
    MIB,
)
from mesh.node.state.results import ActionResults
from mesh.ports.actions import ActionRunner, Job
from mesh.types import Digest, NodeId, RunId
from mesh.wire.errors import WireError
from mesh.wire.messages import Finished, InlineBlob

logger = logging.getLogger(__name__)

RESULT_BYTES_MAX = FRAME_BYTES_MAX // 2
"""A signed result must fit into one message, with company."""
ERROR_TEXT_BYTES_MAX = 8000


OnExecuted = Callable[[NodeId, RunId, int, Result], None]
"""Called with the origin of a run, the run, the shard's place in it, and what came of it."""


@attrs.frozen
class PerformerParts:
    me: NodeId
    sign: Callable[[bytes, bytes], bytes]
    runner: ActionRunner
    store: BlobStore
    results: ActionResults


class Performer:
    """Executes, signs, remembers."""

    def __init__(self, parts: PerformerParts) -> None:
        self._parts = parts

    async def perform(
        self, lease: int, digest: Digest, job: Job, *, leaves: bool = True
    ) -> tuple[Finished, Result | None]:
        """Never raises a MeshError: it is in the answer. All inputs should be in the store.

        A result that never `leaves` this node, neither into the cache nor to a peer, is not signed:
        nobody would look at it.
        """
        try:
            done = await self._parts.runner.execute(job)
        except MeshError as error:
            return _failed(lease, error), None
        except BlobMissing as missing:
            return _failed(lease, BlobLost(digest=missing.digest.hex())), None
        except Exception as bug:
            # A bug met by one shard must not take the node, and every other run on it, along.
            logger.exception("the executor failed")
            return _failed(lease, Bug(what=f"{type(bug).__name__}: {bug}")), None
        result = Result(
            action=digest,
            builder=self._parts.me,
            exit_status=done.exit_status,
            outputs=done.outputs,
            stdout=done.stdout,
            stderr=done.stderr,
            duration_ms=done.duration_ms,
            sandbox=done.sandbox,
        )
        if not leaves and not result.outputs:  # outputs must have names that can be signed
            return Finished(lease, duration_ms=done.duration_ms), result
        return self._signed(lease, job.name, result)

    def _signed(self, lease: int, name: str, result: Result) -> tuple[Finished, Result | None]:
        try:
            signed = sign_result(result, self._parts.sign)
        except (WireError, UnicodeError) as error:  # a name that is not UTF-8, or is too long
            return _failed(lease, OutputUnnamable(name=name, why=error)), None
        if len(signed.body) > RESULT_BYTES_MAX:
            limit = f"{RESULT_BYTES_MAX // MIB} MiB of names"
            return _failed(lease, OutputTooLarge(name=name, limit=limit)), None
        return Finished(lease, result=signed, duration_ms=result.duration_ms), result

    def remember(
        self, digest: Digest, signed: SignedResult, result: Result, cacheable: bool
    ) -> None:
        """Keep a success for next time, here and everywhere. Losing it costs time only."""
        if cacheable and result.exit_status == 0:
            try:
                self._parts.results.put(digest, signed, result)
            except (EnvironmentFault, OSError):
                logger.warning("a result could not be kept", exc_info=True)

    def offer(self, data: bytes) -> None:
        """Make a blob that is in no file available to peers for a while."""
        self._parts.store.hold(data)

    def read_small(self, entry: TreeEntry) -> bytes | None:
        """A small file's bytes, to be sent along; None when it is not a file or not here."""
        if entry.kind not in (FILE, EXECUTABLE) or entry.size_bytes > INLINE_BLOB_BYTES_MAX:
            return None
        try:
            return self._parts.store.read(entry.digest, INLINE_BLOB_BYTES_MAX)
        except (BlobMissing, InputChanged, ValueError, OSError):
            return None

    def inline_outputs(self, result: Result) -> tuple[InlineBlob, ...]:
        """The outputs small enough to travel with the result."""
        blobs, room = [], INLINE_GRANT_BYTES_MAX
        for entry in result.outputs:
            data = self.read_small(entry) if entry.size_bytes < room else None
            if data is not None:
                blobs.append(InlineBlob(data))
                room -= len(data) + INLINE_BLOB_FRAME_BYTES
        return tuple(blobs)

    def log_text(self, log: LogBlob) -> bytes | None:
        """Captured output, inline or from the store; None when it must be fetched first."""
        if log.size_bytes == len(log.inline):
            return log.inline
        try:
            return self._parts.store.read(log.digest)
        except BlobMissing:
            return None


def plain_text(text: str, max_bytes: int) -> str:
    """`text` as it can travel: no lone surrogates (names that are not UTF-8), not too long."""
    return text.encode("utf-8", "replace")[:max_bytes].decode("utf-8", "ignore")


def _failed(lease: int, error: MeshError) -> Finished:
    return Finished(
        lease,
        error_code=error.code,
        error_text=plain_text(error.message(), ERROR_TEXT_BYTES_MAX),
        retry_elsewhere=isinstance(error, (EnvironmentFault, BlobLost)),
    )
