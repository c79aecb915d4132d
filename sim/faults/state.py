"""Faults of the replicated log: stolen keys, copied disks, liars, removals, clearing up.

Only replicas know them (world `state`); how they are done is `sim.state.deeds*`, loaded when one
happens. Deliberately not here: crashes, disks, clocks and cables, which are as everywhere
(ALSO_STATE).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.faults.model import STATE, Begin, Kind, Param, Undo
from sim.scenario.model import Fault

if TYPE_CHECKING:
    from sim.stage.base import Stage

ONLY = frozenset({STATE})
ALSO_STATE = frozenset(
    {
        *("loss", "burst_loss", "delay", "jitter", "spikes", "duplicate", "reorder", "corrupt"),
        *("one_way", "mute", "deaf", "isolate", "partition", "flapping"),
        *("crash", "power_cut", "bounce", "freeze", "amnesia", "old_disk"),
        *("clock_ahead", "clock_behind", "disk_rot", "disk_tear", "disk_full", "disk_write_errors"),
    }
)
"""Kinds of other groups that replicas can have, too."""


def _deed(name: str) -> Begin:
    def begin(stage: Stage, fault: Fault) -> Undo:
        from sim.state.deeds import DEEDS
        from sim.state.deeds_less import LESS
        from sim.state.deeds_roster import ROSTER
        from sim.state.deeds_theft import THEFT

        return {**DEEDS, **LESS, **ROSTER, **THEFT}[name](stage, fault)

    return begin


def _kind(
    name: str,
    words: str,
    *params: Param,
    lasts: bool = False,
    targets: tuple[int, int] = (1, 1),
) -> Kind:
    return Kind(
        name,
        "state",
        words,
        _deed(name),
        params,
        targets=targets,
        lasts=lasts,
        worlds=ONLY,
        real=False,
    )


KINDS = (
    _kind("equivocate", "somebody with the key of {who} signs a second history"),
    _kind("rewrite", "somebody with the key of {who} signs anew what was signed long ago"),
    _kind("two_faces", "somebody with the key of {who} tells two halves two things, in secret"),
    _kind("remove", "{who}: removed from the mesh; its key goes on writing"),
    _kind(
        "steal",
        "somebody with the key of {who} writes for it; it is removed, and is in again in the end",
        lasts=True,
    ),
    _kind("twin", "a copy of the disk of {who}, with its key, runs elsewhere for a moment"),
    _kind(
        "lie",
        "{chance} of what {who} says about the log is spoiled",
        Param("chance", 0.05, 1.0, "%"),
        lasts=True,
    ),
    _kind(
        "flood",
        "{who}: {messages} at once to everybody",
        Param("messages", 50, 8000, "message", whole=True, log_scale=True, units="messages"),
    ),
    _kind("checkpoint", "{who}: a checkpoint of one lane is written", targets=(1, 3)),
    _kind("prune", "{who}: the bodies that checkpoints cover are dropped", targets=(1, 3)),
    _kind(
        "squeeze",
        "{who}: room for {room_bytes} of bodies, the rest is dropped",
        Param("room_bytes", 0, 4_000, "B", whole=True),
        targets=(1, 2),
    ),
    _kind("away", "{who}: away for two years, in which the others say all in short", lasts=True),
    _kind("feud", "two admins remove each other; one removes {who}, whom the other admits"),
    _kind("readmit", "{who}: removed, and admitted anew by somebody else"),
    _kind(
        "overuse",
        "an invite for {uses} is used once more than that",
        Param("uses", 1, 3, "use", whole=True, units="uses"),
    ),
)
