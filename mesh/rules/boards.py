"""What the boards have: the same tables as in `firmware/hal/`, for the compiler and the verifier.

    verify(program, has_on(BoardKind.STM32F405))

Pins are numbered as the part's manual numbers its ports: on STM32 `16 * port + number` (PA5 is 5,
PB0 is 16), on nRF52840 `32 * port + number`, on RP2040 the GPIO number. Pins that carry the link,
the buses or the debugger are not there for rules. Deliberately not here: what is wired to a pin.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from mesh.rules.program import Access, BoardKind, Class, LeavesOf, Program, Resource, Target

BUS_BYTES_MAX = 4
PULL_MAX = 2


@attrs.frozen
class Board:
    """One kind of board, as rules see it."""

    kind: BoardKind
    title: str
    pins: frozenset[int]
    adc_inputs: int
    dac_outputs: int
    buses: int = 1
    """SPI and I2C buses, each numbered from 0."""
    uarts: int = 1

    def has(self, resource: Resource) -> bool:
        """Whether the board has it, with that access."""
        channel, param = resource.channel, resource.param
        if resource.kind is Class.GPIO:
            return channel in self.pins and param <= PULL_MAX
        if resource.kind is Class.ADC:
            return channel < self.adc_inputs and resource.access is Access.READ
        if resource.kind is Class.DAC:
            return channel < self.dac_outputs and resource.access is Access.WRITE
        if resource.kind is Class.UART:
            return channel < self.uarts
        if resource.kind is Class.SPI:
            sound = 1 <= param >> 24 <= BUS_BYTES_MAX and param & 0xFFFF in self.pins
        else:
            sound = 1 <= param >> 16 <= BUS_BYTES_MAX and not param & 0x80
        return channel < self.buses and sound


def _without(count: int, *taken: int) -> frozenset[int]:
    return frozenset(range(count)) - frozenset(taken)


# PA9 PA10: link; PA13 PA14: debugger; PA15: low at start to forget; PB3..PB7: buses.
_STM32_PINS = _without(48, 9, 10, 13, 14, 15, 19, 20, 21, 22, 23)
# P0.06 P0.08: link; P0.11: low at start to forget; P0.26 P0.27, P1.13..P1.15: buses; P0.00 P0.01:
# the slow crystal; P0.09 P0.10: NFC; P0.18: reset.
_NRF52840_PINS = _without(48, 0, 1, 6, 8, 9, 10, 11, 18, 26, 27, 45, 46, 47)
# GPIO 0 1: link; 22: low at start to forget; 16, 18..21: buses.
_RP2040_PINS = _without(30, 0, 1, 16, 18, 19, 20, 21, 22)

BOARDS = {
    each.kind: each
    for each in (
        Board(BoardKind.STM32F405, "STM32F405", _STM32_PINS, 16, 2),
        Board(BoardKind.STM32H7A3, "STM32H7A3/B3", _STM32_PINS, 16, 2),
        Board(BoardKind.NRF52840, "nRF52840", _NRF52840_PINS, 8, 0),
        Board(BoardKind.RP2040, "RP2040", _RP2040_PINS, 4, 0),
        Board(BoardKind.LINUX, "Linux", frozenset(range(65_536)), 65_536, 65_536, 65_536, 65_536),
    )
}
assert set(BOARDS) == set(BoardKind)


def board_named(name: str) -> Board | None:
    """`stm32f405`, `rp2040`, `linux`, in any case; None if there is no such board."""
    found = BoardKind.__members__.get(name.upper())
    return None if found is None else BOARDS[found]


def has_on(kind: BoardKind) -> Callable[[Resource], bool]:
    return BOARDS[kind].has


def has_anywhere(resource: Resource) -> bool:
    """Whether some microcontroller has it: what a program for any leaf may name."""
    return any(board.has(resource) for kind, board in BOARDS.items() if kind is not BoardKind.LINUX)


def has_for(target: Target) -> Callable[[Resource], bool]:
    """What a program for that target may name, as far as one can tell without asking the leaf."""
    return BOARDS[target.board].has if isinstance(target, LeavesOf) else has_anywhere


def missing(program: Program, kind: BoardKind) -> tuple[Resource, ...]:
    """What a program names that a board does not have."""
    return tuple(each for each in program.resources if not BOARDS[kind].has(each))
