"""What a part's maker gives to the outside: lines, pins, and where the buses are."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from sim.boards.machine import Machine
from sim.boards.pins import Pins
from sim.boards.uart import Uart


@attrs.define
class Wiring:
    """What a board's part gives to the outside."""

    link: Uart
    uart: Uart
    """UART 0 of the rules."""
    pins: Pins
    scl: int
    sda: int
    sck: int
    miso: int
    mosi: int
    slots: tuple[int, int]
    """Addresses in flash."""
    release: int
    """Held low at start: forget."""
    on_reset: Callable[[str], None]
    """Told the cause before the part starts."""
    dac: Callable[[int], int | None] = lambda _output: None
    """Counts that an output puts out, None while it is off or not there."""


Maker = Callable[[Machine, list[int], int], Wiring]
"""machine, counts of the converter inputs, seed -> wiring"""
