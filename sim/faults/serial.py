"""Faults of serial lines between a gateway node and its leaf. Only whole nodes have gateways.

A node without a line is not hit: scenarios are drawn before it is known who has one. In the real
world: a pty with a program between its ends. Deliberately not here: the line itself (`sim.serial`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sim.faults.model import WHOLE, Begin, Kind, Param, Undo
from sim.faults.network import together
from sim.scenario.model import Fault

if TYPE_CHECKING:
    from sim.stage.base import Stage


def _each(verb: Callable[[Any, Fault], Any]) -> Begin:
    """A `begin` that does one verb of `sim.serial.SerialLine` to the lines of all targets."""

    def begin(stage: Stage, fault: Fault) -> Undo:
        lines = [line for node in fault.target if (line := stage.serial(node)) is not None]
        return together(*(verb(line, fault).undo for line in lines))

    return begin


_SHARE = Param("chance", 0.001, 0.2, "%")

KINDS = (
    Kind(
        "serial_loss",
        "serial",
        "{chance} of the bytes on the serial line of {who} are lost",
        _each(lambda line, fault: line.lose(chance=fault.number("chance"))),
        (_SHARE,),
        worlds=WHOLE,
        real=False,
    ),
    Kind(
        "serial_flips",
        "serial",
        "{chance} of the bytes on the serial line of {who} are wrong",
        _each(lambda line, fault: line.flip(chance=fault.number("chance"))),
        (_SHARE,),
        worlds=WHOLE,
        real=False,
    ),
    Kind(
        "serial_noise",
        "serial",
        "noise on the serial line of {who}, {rate}",
        _each(lambda line, fault: line.noise(bytes_per_s=fault.number("rate"))),
        (Param("rate", 1.0, 1000.0, "B/s", log_scale=True),),
        worlds=WHOLE,
        real=False,
    ),
    Kind(
        "serial_cut",
        "serial",
        "the serial line of {who} is cut",
        _each(lambda line, _: line.cut()),
        worlds=WHOLE,
        real=False,
    ),
    Kind(
        "serial_unplugged",
        "serial",
        "the serial port of {who} vanishes",
        _each(lambda line, _: line.unplug()),
        worlds=WHOLE,
        real=False,
    ),
)
