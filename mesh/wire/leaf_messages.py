"""What members tell each other about leaves: who has which, programs for them.

A leaf itself never sees these; its line speaks `mesh.leaf.messages`. What it has said is in the
log (`mesh.state.events`). Kinds 60-79, of which 62 and 63 were events once.
"""

from __future__ import annotations

from mesh.limits import LEAF_PACKAGE_BYTES_MAX
from mesh.types import NodeId
from mesh.wire.schema import (
    array,
    blob,
    boolean,
    c_int,
    c_struct,
    fixed,
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
