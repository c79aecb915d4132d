"""What one event of a feed says. An event is the CBOR array `[kind, field, field, ...]`.

Rules
- Every kind has its lane, and its number for ever. On another lane it is refused: a lane is one
  class of retention, and what a checkpoint covers is what its lane holds.
- One value has one encoding and every accepted byte string one meaning (`mesh.wire.cbor`).
- An event that is refused is counted against its writer and skipped; the frame around it stands.
- Nothing here names a time that a fold could look at.

`docs/events.cddl` is the specification. `ActionResult`, of which there are millions, has fixed
places for its fields (see `attestations`), and the same bytes as its declaration here.

Not here: forks. Their proofs prove themselves and travel as a set of their own (`mesh.log.forks`).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any, TypeVar, cast, dataclass_transform

from mesh.identity.records import REF_BYTES, FeedPoint
from mesh.leaf.messages import DIGEST_BYTES as LEAF_DIGEST_BYTES
from mesh.leaf.messages import (
    HEAD_BYTES,
    NONCE_BYTES,
    PACKED_EVENT_BYTES,
    PACKED_KIND_AT,
    PROOF_NONCE_BYTES,
    SIGNATURE_BYTES,
    EventKind,
)
from mesh.limits import (
    EVENT_CONSUMED_MAX,
    EVENT_COPIES_MAX,
    EVENT_FEEDS_MAX,
    EVENT_HOST_BYTES_MAX,
    EVENT_KEY_BYTES_MAX,
    EVENT_LABEL_BYTES_MAX,
    EVENT_MS_MAX,
    EVENT_SHARDS_MAX,
    EVENT_SUPERSEDES_MAX,
    EVENT_TARGETS_MAX,
    EVENT_VALUE_BYTES_MAX,
    EVENT_WALL_MS_MAX,
    LEAF_ENTRY_EVENTS_MAX,
    LOG_COVERS_MAX,
    LOG_EVENT_BYTES_MAX,
)
from mesh.log.model import EPOCH_BYTES, Dot, FeedId, Lane
from mesh.types import DIGEST_BYTES, Digest, NodeId, RunId
from mesh.wire import cbor
from mesh.wire.bytewise import ARRAY, REFUSALS, UINT, Take, compile_take, head
from mesh.wire.errors import WireError
from mesh.wire.schema import (
    array,
    blob,
    c_blob,
    c_struct,
    c_text,
    fixed,
    integer,
    optional,
    struct,
    text,
    uint,
)

T = TypeVar("T")

RUN_BYTES = 8
_U32 = 2**32 - 1
CONSUMED_BYTES = 16
"""Of the `outputs` of a result that an action consumed."""

_CLASSES: dict[int, type] = {}
_KINDS: dict[type, int] = {}
_LANES: dict[int, Lane] = {}
ANY_LANE = frozenset(Lane)


@dataclass_transform(
    frozen_default=True,
    field_specifiers=(array, blob, fixed, integer, optional, text, uint),
)
def event(kind: int, lane: Lane | None) -> Callable[[type[T]], type[T]]:
    """Make the class the event of this kind, which belongs on `lane`, or on any (None)."""

    def register(cls: type[T]) -> type[T]:
        made = struct(cls)
        assert kind not in _CLASSES, f"event kind {kind} is taken by {_CLASSES[kind]}"
        _CLASSES[kind], _KINDS[made] = made, kind
        if lane is not None:
            _LANES[kind] = lane
        return made

    return register


@struct
class DotRef:
    """A `Dot` as it is written down."""

    node: NodeId = fixed(DIGEST_BYTES)
    epoch: bytes = fixed(EPOCH_BYTES)
    lane: int = uint(4)
    seq: int = uint(2**48)

    @property
    def dot(self) -> Dot:
        return Dot(FeedId(self.node, self.epoch, self.lane), self.seq)

    @classmethod
    def of(cls, dot: Dot) -> DotRef:
        return cls(dot.feed.node, dot.feed.epoch, dot.feed.lane, dot.seq)


# -- epochs and checkpoints ------------------------------------------------------------------------
@event(0, Lane.CTL)
class Open:
    """The first event of an epoch: under which admission it is written, and after what.

    What an epoch writes is later than all that its writer then knew of its own earlier epochs.
    """

    admission: bytes = fixed(REF_BYTES)
    """`ref_of` the record that admits the writer."""
    known: tuple[FeedPoint, ...] = array(c_struct(FeedPoint), EVENT_FEEDS_MAX)
    """The heads of the writer's other epochs, as far as it knows them."""
    host: str = text(EVENT_HOST_BYTES_MAX)
    """For people."""


@event(1, Lane.CTL)
class Absorb:
    """The writer has learned of epochs of its own that it had not known: its disk was restored from
    a copy. From here on it writes after them."""

    known: tuple[FeedPoint, ...] = array(c_struct(FeedPoint), EVENT_FEEDS_MAX)


@event(2, None)
class Checkpoint:
    """In place of everything its owner wrote on this lane up to `covers`, the owner says `state`.

    What was there and is not in the state is gone: the owner let it go. See `checkpoint`.
    """

    covers: tuple[FeedPoint, ...] = array(c_struct(FeedPoint), LOG_COVERS_MAX)
    """All of the event's own lane."""
    state: Digest = fixed(DIGEST_BYTES)
    """Name of the blob that holds it."""
    state_bytes: int = uint()
    rows: int = uint()


# -- action cache ----------------------------------------------------------------------------------
BUILT, RE_EXECUTED = 0, 1
"""Sources: the writer ran the action because somebody needed it, or to check what others say."""


@event(10, Lane.AC)
class ActionResult:
    """The writer ran `action` to its end, and `outputs` came out."""

    action: Digest = fixed(DIGEST_BYTES)
    outputs: Digest = fixed(DIGEST_BYTES)
    """Of what came out, whoever built it: equal for equal exit status and outputs."""
    record: Digest = fixed(DIGEST_BYTES)
    """Name of the blob that is the encoded `SignedResult`."""
    source: int = uint(RE_EXECUTED)
    duration_ms: int = uint(EVENT_MS_MAX)


@event(11, Lane.AC)
class Derivation:
    """Among the inputs of `action` is what came out of other actions: the first CONSUMED_BYTES of
    the `outputs` of their results. Only where there is such an input; several add up."""

    action: Digest = fixed(DIGEST_BYTES)
    consumed: tuple[bytes, ...] = array(c_blob(CONSUMED_BYTES, CONSUMED_BYTES), EVENT_CONSUMED_MAX)


# -- runs ------------------------------------------------------------------------------------------
@struct
class Execution:
    """One shard was run to its end."""

    shard: int = uint(2**32)
    attempt: int = uint(65_535)
    action: Digest = fixed(DIGEST_BYTES)
    exit_status: int = integer()
    """The process's, or minus the signal that ended it."""
    duration_ms: int = uint(EVENT_MS_MAX)


@event(20, Lane.EXEC)
class Executions:
    """The writer executed shards of a run: at least one, those of a moment together."""

    run: RunId = fixed(RUN_BYTES)
    origin: NodeId = fixed(DIGEST_BYTES)
    """Whose run it is."""
    shards: tuple[Execution, ...] = array(c_struct(Execution), EVENT_SHARDS_MAX)


class RunState(IntEnum):
    """How far a run is, told by its origin. A higher one is later."""

    STARTED = 0
    SUCCEEDED = 1
    FAILED = 2
    CANCELLED = 3


@event(21, Lane.EXEC)
class RunEvent:
    """The writer's own run has come so far."""

    run: RunId = fixed(RUN_BYTES)
    state: int = uint(int(RunState.CANCELLED))
    label: str = text(EVENT_LABEL_BYTES_MAX)
    shards: int = uint(2**32)
    hits: int = uint(2**32)
    """Shards whose result was known already."""
    record: Digest | None = optional(c_blob(DIGEST_BYTES, DIGEST_BYTES), default=None)
    """Name of the blob with its whole record, when it is over."""


# -- registers, deployments, policy ----------------------------------------------------------------
@event(30, Lane.CTL)
class Register:
    """The writer's own `key` is now `value`, or nothing. Nobody else writes the writer's keys."""

    key: str = text(EVENT_KEY_BYTES_MAX)
    value: bytes | None = optional(c_blob(EVENT_VALUE_BYTES_MAX), default=None)


class Intent(IntEnum):
    """What a deployment wants; where several stand, the highest is the safest and is done."""

    DEPLOY = 0
    PAUSE = 1
    ROLLBACK = 2
    WITHDRAW = 3


@event(40, Lane.DEP)
class Deployment:
    """`program` is to be `artifact` on `targets`; it takes the place of `supersedes`."""

    program: str = text(EVENT_KEY_BYTES_MAX)
    artifact: Digest = fixed(DIGEST_BYTES)
    intent: int = uint(int(Intent.WITHDRAW))
    targets: tuple[str, ...] = array(c_text(EVENT_KEY_BYTES_MAX), EVENT_TARGETS_MAX)
    params: bytes = blob(EVENT_VALUE_BYTES_MAX)
    supersedes: tuple[DotRef, ...] = array(c_struct(DotRef), EVENT_SUPERSEDES_MAX)


class Trust(IntEnum):
    """Whose results a node takes. A higher one is stricter."""

    ANY_BUILDER = 0
    K_BUILDERS = 1
    OWN = 2


@event(54, Lane.CTL)
class Policy:
    """The mesh's policy, written by an admin; it takes the place of `supersedes`."""

    trust: int = uint(int(Trust.OWN))
    k_attest: int = uint(64)
    """Builders that must agree, under K_BUILDERS. At least one."""
    copies: int = uint(EVENT_COPIES_MAX)
    """Of each output that are kept in the mesh."""
    supersedes: tuple[DotRef, ...] = array(c_struct(DotRef), EVENT_SUPERSEDES_MAX)


# -- leaves ----------------------------------------------------------------------------------------
@event(60, Lane.LEAF)
class LeafEvents:
    """The writer took these events from a leaf at one of its lines: numbered from `first` without
    a gap, chained from `head`."""

    leaf: NodeId = fixed(DIGEST_BYTES)
    boot_nonce: bytes = fixed(NONCE_BYTES)
    order: int = uint(_U32)
    """Starts of the leaf that the writer knew to be before this one."""
    started_unix_ms: int = uint(EVENT_WALL_MS_MAX)
    """For people."""
    first: int = uint(_U32)
    head: bytes = fixed(HEAD_BYTES)
    lost: int = uint(_U32)
    """Events of this start that the leaf says it had dropped by then."""
    packed: bytes = blob(PACKED_EVENT_BYTES * LEAF_ENTRY_EVENTS_MAX)
    """`mesh.leaf.messages.pack_event` of each."""


@event(61, Lane.LEAF)
class LeafProof:
    """What a leaf has signed for the writer, who asked with `nonce`: how far its chain is."""

    leaf: NodeId = fixed(DIGEST_BYTES)
    boot_nonce: bytes = fixed(NONCE_BYTES)
    nonce: bytes = fixed(PROOF_NONCE_BYTES)
    firmware: bytes = fixed(LEAF_DIGEST_BYTES)
    program: bytes = fixed(LEAF_DIGEST_BYTES)
    counter: int = uint(_U32)
    next_event: int = uint(_U32)
    head: bytes = fixed(HEAD_BYTES)
    signature: bytes = fixed(SIGNATURE_BYTES)


@event(62, Lane.LEAF)
class LeafLetGo:
    """The writer had the events of a start that are below that number, and keeps them no more."""

    leaf: NodeId = fixed(DIGEST_BYTES)
    boot_nonce: bytes = fixed(NONCE_BYTES)
    order: int = uint(_U32)
    started_unix_ms: int = uint(EVENT_WALL_MS_MAX)
    below: int = uint(_U32)


Event = (
    Open
    | Absorb
    | Checkpoint
    | ActionResult
    | Derivation
    | Executions
    | RunEvent
    | Register
    | Deployment
    | Policy
    | LeafEvents
    | LeafProof
    | LeafLetGo
)


# -- bytes -----------------------------------------------------------------------------------------
def encode_event(value: Event) -> bytes:
    """The one encoding of an event. Raises WireError when a field is out of its bounds."""
    cls: Any = type(value)
    _check(value)
    data = cbor.encode([_KINDS[cls], *cls.__wire_pack__(value)])
    if len(data) > LOG_EVENT_BYTES_MAX:
        raise WireError("oversized")
    return data


def decode_event(data: bytes, lane: int) -> Event:
    """The event that `data` on `lane` is. Raises WireError and nothing else: a reason of decoding,
    "unknown-kind", "lane"."""
    value = _quickly(data)
    if value is None:
        value = _slowly(data)
    wanted = _LANES.get(_KINDS[type(value)], lane)
    if wanted != lane:
        raise WireError("lane", f"an event of lane {wanted} on lane {lane}")
    _check(value)
    return value


def lane_of(value: Event) -> Lane | None:
    """The lane on which it is written; None: on any."""
    return _LANES.get(_KINDS[type(value)])


def _quickly(data: bytes) -> Event | None:
    cls = _BY_FIRST.get(data[:3]) or _BY_FIRST.get(data[:2])
    if cls is None:
        return None
    take = _TAKES.get(cls) or _use(cls)
    try:
        value, end = take(data, 0)
    except REFUSALS:
        return None
    return value if end == len(data) else None


def _slowly(data: bytes) -> Event:
    if len(data) > LOG_EVENT_BYTES_MAX:
        raise WireError("oversized")
    item = cbor.decode(data)
    if type(item) is not list or not item or type(item[0]) is not int:
        raise WireError("event", "not an array that starts with a kind")
    cls = cast("Any", _CLASSES.get(item[0]))
    if cls is None:
        raise WireError("unknown-kind", str(item[0]))
    return cast("Event", cls.__wire_unpack__(item[1:]))


def _check(value: Event) -> None:
    """What the types of the fields do not say."""
    if isinstance(value, Open | Absorb):
        _check_points(value.known)
    elif isinstance(value, Checkpoint):
        _check_points(value.covers)
        if not value.covers or len({point.lane for point in value.covers}) != 1:
            raise WireError("covers", "nothing, or several lanes")
    elif isinstance(value, Executions) and not value.shards:
        raise WireError("shards", "nothing was executed")
    elif isinstance(value, Policy) and not (value.k_attest and value.copies):
        raise WireError("policy", "nobody attests, or nobody keeps a copy")
    elif isinstance(value, LeafEvents):
        _check_packed(value)


def _check_packed(value: LeafEvents) -> None:
    packed = value.packed
    if not packed or len(packed) % PACKED_EVENT_BYTES:
        raise WireError("leaf-events", "nothing, or a part of an event")
    if max(packed[PACKED_KIND_AT::PACKED_EVENT_BYTES]) > max(EventKind):
        raise WireError("leaf-events", "of a kind that there is not")
    if value.first + len(packed) // PACKED_EVENT_BYTES > _U32:
        raise WireError("leaf-events", "beyond the last number")


def _check_points(points: tuple[FeedPoint, ...]) -> None:
    feeds = [(point.epoch, point.lane) for point in points]
    if sorted(set(feeds)) != feeds or not all(point.count for point in points):
        raise WireError("points", "feeds out of order, twice, or empty")


def _first_bytes(cls: Any) -> bytes:
    return head(ARRAY, 1 + len(cls.__wire_fields__)) + head(UINT, _KINDS[cls])


def _use(cls: Any) -> Take:
    """Compile an event for its first use."""
    fields = [codec.field(name) for name, codec in cls.__wire_fields__]
    forms = [codec.form() for _, codec in cls.__wire_fields__]
    _TAKES[cls] = compile_take(cls, _first_bytes(cls), fields, forms)
    return _TAKES[cls]


_TAKES: dict[type, Take] = {}
_BY_FIRST = {_first_bytes(cls): cls for cls in _KINDS}
