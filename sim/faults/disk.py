"""Faults of disks: full, slow, read-only, lying, rotting.

Each acts on the state disk of its targets; only whole nodes have one. In the real world: a small
tmpfs, a FUSE layer, remounting. Deliberately not here: losing what was not synced, which needs a
power cut (`node`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sim.faults.model import WHOLE, Begin, Kind, Param, Undo, choose, over
from sim.faults.network import together
from sim.scenario.model import Fault

if TYPE_CHECKING:
    from sim.stage.base import Stage


def _each(verb: Callable[[Any, Fault], Any]) -> Begin:
    """A `begin` that does one verb of `sim.disk.SimDisk` to the disks of all targets."""

    def begin(stage: Stage, fault: Fault) -> Undo:
        return together(*(verb(stage.disk(node), fault).undo for node in fault.target))

    return begin


IRREPLACEABLE = "identity/"


def _chance(fault: Fault) -> float:
    return fault.number("chance")


def _victim(stage: Stage, node: int) -> str | None:
    """A file with something in it. Not the identity: without its key a node is nobody, says so and
    ends, which is right and nothing to be found out."""
    files = stage.disk(node).snapshot().files
    names = sorted(name for name, data, *_ in files if data and not name.startswith(IRREPLACEABLE))
    rng = stage.world.rng(f"rot of node {node} at {stage.world.now_s}")
    return choose(rng, names, 1)[0] if names else None


def _rot(stage: Stage, fault: Fault) -> Undo:
    for node in fault.target:
        name = _victim(stage, node)
        if name is not None:
            stage.disk(node).rot(name, bits=int(fault.number("bits")))
    return over


def _tear(stage: Stage, fault: Fault) -> Undo:
    for node in fault.target:
        name = _victim(stage, node)
        if name is not None:
            stage.disk(node).tear(name)
    return over


_SHARE = Param("chance", 0.01, 0.5, "%")
_SLOW = Param("duration_s", 0.01, 2.0, "s", log_scale=True)

KINDS = (
    Kind(
        "disk_full",
        "disk",
        "the disk of {who} has only {free_bytes} left",
        _each(lambda disk, fault: disk.fill(free_bytes=int(fault.number("free_bytes")))),
        (Param("free_bytes", 0, 100_000, "B", whole=True),),
        targets=(1, 3),
        worlds=WHOLE,
    ),
    Kind(
        "disk_read_only",
        "disk",
        "the disk of {who} cannot be written",
        _each(lambda disk, _: disk.read_only()),
        targets=(1, 3),
        worlds=WHOLE,
    ),
    Kind(
        "disk_read_errors",
        "disk",
        "{chance} of the reads of {who} fail",
        _each(lambda disk, fault: disk.fail_reads(chance=_chance(fault))),
        (_SHARE,),
        targets=(1, 3),
        worlds=WHOLE,
        real=False,
    ),
    Kind(
        "disk_write_errors",
        "disk",
        "{chance} of the writes of {who} fail",
        _each(lambda disk, fault: disk.fail_writes(chance=_chance(fault))),
        (_SHARE,),
        targets=(1, 3),
        worlds=WHOLE,
        real=False,
    ),
    Kind(
        "disk_sync_errors",
        "disk",
        "{chance} of the syncs of {who} fail, and lose what they had",
        _each(lambda disk, fault: disk.fail_syncs(chance=_chance(fault))),
        (_SHARE,),
        targets=(1, 3),
        worlds=WHOLE,
        real=False,
    ),
    Kind(
        "disk_slow_syncs",
        "disk",
        "every sync of {who} takes {duration_s}",
        _each(lambda disk, fault: disk.slow_syncs(duration_s=fault.number("duration_s"))),
        (_SLOW,),
        targets=(1, 3),
        worlds=WHOLE,
        real=False,
    ),
    Kind(
        "disk_slow_reads",
        "disk",
        "every read of {who} takes {duration_s}",
        _each(lambda disk, fault: disk.slow_reads(duration_s=fault.number("duration_s"))),
        (_SLOW,),
        targets=(1, 3),
        worlds=WHOLE,
        real=False,
    ),
    Kind(
        "disk_lies",
        "disk",
        "the disk of {who} says `synced` and keeps it in its cache",
        _each(lambda disk, _: disk.lose_syncs()),
        targets=(1, 3),
        worlds=WHOLE,
        real=False,
    ),
    Kind(
        "disk_rot",
        "disk",
        "a file of {who} rots where it lies, by {bits}",
        _rot,
        (Param("bits", 1, 16, "bit", whole=True, units="bits"),),
        targets=(1, 3),
        lasts=False,
        worlds=WHOLE,
    ),
    Kind(
        "disk_tear",
        "disk",
        "a file of {who} loses its end",
        _tear,
        targets=(1, 3),
        lasts=False,
        worlds=WHOLE,
    ),
)
