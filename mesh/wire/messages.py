"""Every message that members send each other on a stream. Datagrams are in `mesh.swim.messages`,
the join door's in `mesh.identity.messages`. Kinds: 1-19 link, 20-39 work, 40-59 blobs, 80-99
datagrams, from 100 the join door."""

from __future__ import annotations

from mesh.action.model import SignedResult
from mesh.limits import (
    BLOB_BYTES_MAX,
    BLOB_CHUNK_BYTES,
    BLOB_REQUEST_MAX,
    GRANT_SHARDS_MAX,
    INLINE_BLOB_BYTES_MAX,
    INLINE_BLOBS_MAX,
    LEASES_MAX,
    NAME_BYTES_MAX,
    RECORD_BYTES_MAX,
    ROSTER_RECORDS_MAX,
    TOOLS_TOLD_MAX,
)
from mesh.types import DIGEST_BYTES, Digest, RunId
from mesh.wire.schema import (
    array,
    blob,
    boolean,
    c_blob,
    c_struct,
    c_uint,
    fixed,
    message,
    nested,
    optional,
    struct,
    text,
    uint,
)

PLACE_BYTES = 7
PROTOCOL_VERSION = 1
CONTROL_LANE, BULK_LANE = range(2)


@struct
class Load:
    """What a node can take on. Gossiped by SWIM and sent on links when it changes."""

    slots: int = uint(65_535)
    busy: int = uint(65_535)
    queued: int = uint(2**32)
    """Shards that are ready and wait for a slot anywhere."""
    cpu_percent: int = uint(100)
    memory_free_mib: int = uint(2**32)
    late_ms: int = uint(60_000, default=0)
    """How late it reads its mail, as far as it can tell: others wait for it so much longer."""
    place: bytes = blob(PLACE_BYTES, default=b"")
    """Its network coordinate (`mesh.swim.coordinates`); empty: where everybody begins."""


# -- link ----------------------------------------------------------------------------------------
@message(1)
class Hello:
    """First message of both sides on every stream."""

    version: int = uint(65_535)
    mesh_id: bytes = fixed(32)
    epoch: int = uint()
    """Grows with every start of the sender: a new one means it has forgotten everything."""
    lane: int = uint(1)
    name: str = text(NAME_BYTES_MAX)
    platform: str = text(64)
    roster: Digest = fixed(DIGEST_BYTES)
    load: Load = nested(Load)


@message(2)
class RosterRecords:
    """Admission records the receiver may lack; it checks and merges them."""

    records: tuple[bytes, ...] = array(c_blob(RECORD_BYTES_MAX), ROSTER_RECORDS_MAX)


@message(3)
class RosterDigest:
    roster: Digest = fixed(DIGEST_BYTES)


@message(4)
class LoadChanged:
    load: Load = nested(Load)


@message(30)
class AliveAsked:
    """Do you live? Asked over the stream of a member whose datagrams do not come."""


@message(31)
class AliveSaid:
    """Yes. Answered at once, by the event loop that answers datagrams, too."""


TOOLS_PREFIX_BYTES = 8


@message(5)
class NodeFacts:
    """What the sender has, so that it is not given what it cannot run. See `mesh.node.facts`."""

    tools: tuple[bytes, ...] = array(c_blob(TOOLS_PREFIX_BYTES), TOOLS_TOLD_MAX)
    """Prefixes of the toolchains it has."""


# -- work ----------------------------------------------------------------------------------------
@struct
class InlineBlob:
    data: bytes = blob(INLINE_BLOB_BYTES_MAX)


@struct
class GrantedShard:
    """One shard handed to a thief. `lease` is unique at the victim for its lifetime."""

    lease: int = uint()
    run: RunId = fixed(8)
    name: str = text(4096)
    action: bytes = blob(2 * 1024 * 1024)
    """The encoded Action; its SHA-256 is the key of the result."""
    timeout_ms: int = uint()
    memory_bytes: int = uint()
    weight_ms: int = uint()
    """How long it took last time, 0 when never seen."""
    speculative: bool = boolean(default=False)
    live_output: bool = boolean(default=False)
    """Stream stdout and stderr while it runs, instead of only at the end."""
    cacheable: bool = boolean(default=True)
    shard: int = uint(2**32, default=0)
    """Its place in the run, for the audit."""


@message(20)
class Steal:
    """A standing request: the thief would take up to `shards` now; it replaces the earlier one.

    0 withdraws it. The victim answers with Grants as work becomes ready, so nobody polls.
    """

    shards: int = uint(GRANT_SHARDS_MAX)
    load: Load = nested(Load)


@message(21)
class Grant:
    shards: tuple[GrantedShard, ...] = array(c_struct(GrantedShard), GRANT_SHARDS_MAX)
    lease_ms: int = uint(3_600_000)
    """Renew within this time, or the shards run elsewhere."""
    blobs: tuple[InlineBlob, ...] = array(c_struct(InlineBlob), INLINE_BLOBS_MAX)
    """Small inputs (trees, toolchains, sources), named by their SHA-256."""


@message(22)
class Decline:
    """The thief will not run these; `reason` is for explain. `unfit` means never offer it again
    what needs the same toolchain."""

    leases: tuple[int, ...] = array(c_uint(), GRANT_SHARDS_MAX)
    reason: str = text(4096)
    unfit: bool = boolean(default=False)


@message(23)
class Renew:
    """Sent while the leases are held; a frozen thief stops sending it."""

    leases: tuple[int, ...] = array(c_uint(), LEASES_MAX)


PHASE_FETCHING, PHASE_RUNNING, PHASE_STORING = range(3)


@message(24)
class Progress:
    lease: int = uint()
    phase: int = uint(2)
    done_bytes: int = uint(default=0)
    total_bytes: int = uint(default=0)


@message(25)
class Output:
    """A piece of a running shard's stdout (1) or stderr (2)."""

    lease: int = uint()
    stream: int = uint(2)
    data: bytes = blob(BLOB_CHUNK_BYTES)


@struct
class Finished:
    """The end of one lease: a signed result (whatever its exit status), or a failure."""

    lease: int = uint()
    result: SignedResult | None = optional(c_struct(SignedResult), default=None)
    error_code: str = text(16, default="")
    error_text: str = text(8192, default="")
    """Already formatted: an error the thief's machine made up, for people to read."""
    retry_elsewhere: bool = boolean(default=False)
    duration_ms: int = uint(default=0)


@message(26)
class Done:
    finished: tuple[Finished, ...] = array(c_struct(Finished), GRANT_SHARDS_MAX)
    blobs: tuple[InlineBlob, ...] = array(c_struct(InlineBlob), INLINE_BLOBS_MAX)
    """Small outputs, named by their SHA-256."""


@message(27)
class Settled:
    """The victim has what it needs (or lost interest): stop these leases, forget them."""

    leases: tuple[int, ...] = array(c_uint(), LEASES_MAX)


# -- blobs ---------------------------------------------------------------------------------------
@message(44)
class FetchBlobs:
    """Bulk lane: send these, in order. Each is answered by BlobHeader and BlobChunks."""

    digests: tuple[Digest, ...] = array(c_blob(32, 32), BLOB_REQUEST_MAX)


@message(45)
class BlobHeader:
    """`size_bytes` None: not here."""

    digest: Digest = fixed(DIGEST_BYTES)
    size_bytes: int | None = optional(c_uint(BLOB_BYTES_MAX))


@message(46, bulky=True)
class BlobChunk:
    data: bytes = blob(BLOB_CHUNK_BYTES)
