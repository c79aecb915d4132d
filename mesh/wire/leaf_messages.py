"""What members tell each other about leaves: who has which, their events, programs for them.

A leaf itself never sees these; its line speaks `mesh.leaf.messages`. Kinds 60-79.
"""

from __future__ import annotations

from mesh.limits import (
    LEAF_EVENTS_MESSAGE_MAX,
    LEAF_PACKAGE_BYTES_MAX,
    LEAF_SPANS_MAX,
    LEAF_STARTS_KEPT_MAX,
)
from mesh.types import NodeId
from mesh.wire.schema import (
    array,
    blob,
    boolean,
    c_int,
    c_struct,
    fixed,
    integer,
    message,
    optional,
    struct,
    text,
    uint,
)

_U32 = 2**32 - 1
RULES_MAX, SLOTS_MAX = 4, 8


@struct
class LeafRule:
    trigger: int = uint(255)
    worst: int = uint(255)
    runs: int = uint(_U32)
    slots: tuple[int, ...] = array(c_int(), SLOTS_MAX)


@struct
class LeafHealth:
    """What a leaf last said of itself."""

    uptime_ms: int = uint(_U32)
    flash_bytes: int = uint(_U32)
    ram_bytes: int = uint(_U32)
    stack_bytes: int = uint(_U32)
    trial: bool = boolean()
    counter: int = uint(_U32)
    """Of the running program; 0 without one."""
    resource_failures: int = uint(_U32)
    crc_errors: int = uint(_U32)
    overruns: int = uint(_U32)
    lost_events: int = uint(_U32)
    waiting_events: int = uint(_U32)
    reset_cause: int = uint(_U32)
    firmware_error: int = uint(_U32)
    rules: tuple[LeafRule, ...] = array(c_struct(LeafRule), RULES_MAX)


@message(60)
class LeafNews:
    """The sender has this leaf at the end of one of its lines. Repeated when it changes."""

    leaf: NodeId = fixed(32)
    port: str = text(256)
    trusted: bool = boolean()
    """It has proved its key. Otherwise only `port` and `trouble` mean anything."""
    trouble: str = text(512, default="")
    board: int = uint(255, default=0)
    firmware: bytes = blob(16, default=b"")
    program: bytes = blob(16, default=b"")
    rtt_us: int = uint(_U32, default=0)
    quality_percent: int = uint(100, default=0)
    """Share of the frames on the line that arrived whole, lately."""
    health: LeafHealth | None = optional(c_struct(LeafHealth), default=None)


@message(61)
class LeafGone:
    """The line of that leaf was detached, or has no leaf any more."""

    leaf: NodeId = fixed(32)


@struct
class LeafEvent:
    """As `mesh.leaf.messages.Event`."""

    time_ms: int = uint(_U32)
    kind: int = uint(2)
    rule: int = uint(255)
    code: int = uint(255)
    value: int = integer()
    slot: int = uint(255)


@message(62)
class LeafEvents:
    """Events of one start, numbered from `first` without a gap. Also the records of the file in
    which a gateway keeps them."""

    leaf: NodeId = fixed(32)
    boot_nonce: bytes = fixed(8)
    first: int = uint(_U32)
    head: bytes = fixed(32)
    """Of the chain before `first`."""
    started_unix_ms: int = uint()
    events: tuple[LeafEvent, ...] = array(c_struct(LeafEvent), LEAF_EVENTS_MESSAGE_MAX)


@struct
class LeafSpan:
    first: int = uint(_U32)
    end: int = uint(_U32)


@struct
class LeafStart:
    boot_nonce: bytes = fixed(8)
    spans: tuple[LeafSpan, ...] = array(c_struct(LeafSpan), LEAF_SPANS_MAX)


@message(63)
class LeafEventsHeld:
    """What the sender has of a leaf's events: send what it lacks."""

    leaf: NodeId = fixed(32)
    starts: tuple[LeafStart, ...] = array(c_struct(LeafStart), LEAF_STARTS_KEPT_MAX)


@message(64)
class LeafProgram:
    """Bring this signed program to a leaf of yours. Answered by LeafProgramEnd with the same
    request; whether it is good is for the leaf to say."""

    request: int = uint()
    leaf: NodeId = fixed(32)
    package: bytes = blob(LEAF_PACKAGE_BYTES_MAX)


@message(65)
class LeafProgramNews:
    """How far it is: see `mesh.node.leaves.deploying`."""

    request: int = uint()
    stage: str = text(32)
    """`trial`: it runs, on trial; then one of the ends: `done`, `refused`, `silent`, `away`,
    `reverted`."""
    error: int = uint(255, default=0)
    """Of `refused`: what the leaf answered."""
    detail: tuple[int, ...] = array(c_int(), 4, default=())
    counter: int = uint(_U32, default=0)
