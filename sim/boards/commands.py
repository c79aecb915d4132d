"""What a person may do to a board on the table, in words, one line each.

    adc 0 3000        counts at a converter input
    gpio 3 1          drive a pin from outside: 1, 0, or - to let go
    uart some words   a line on UART 0 of the rules
    power | reset     off and on again | the reset pin
    show              what it puts out now
    cut 5             power fails during the fifth flash operation from now

Answers are lines too. Deliberately not here: where lines come from (`serve`).
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from sim.boards.board import ADC_INPUTS, Board
from sim.boards.flash import Cut, Tear

DAC_OUTPUTS = 2


class BadCommand(Exception):
    """It makes no sense; the text says why."""


class Table:
    """The board that is on the table now."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self._told: dict[str, int | None] = {}

    def run(self, line: str) -> str:
        """Carry out one line; returns the answer. Raises BadCommand."""
        word, _, rest = line.strip().partition(" ")
        verb = VERBS.get(word)
        if verb is None:
            raise BadCommand(f"no such command: {word} (of {', '.join(VERBS)})")
        return verb(self, rest)

    def outputs(self) -> dict[str, int | None]:
        """`gpio 5` -> level of every pin that is an output, `dac 0` -> counts."""
        pins = self.board.pins
        levels: dict[str, int | None] = {
            f"gpio {pin}": int(pins.level(pin)) for pin in range(pins.count) if pins.is_output(pin)
        }
        return levels | {f"dac {output}": self.board.dac(output) for output in range(DAC_OUTPUTS)}

    def changes(self) -> list[str]:
        """A line for each output that has changed since the last time."""
        now = self.outputs()
        lines = [
            f"{name} = {value}"
            for name, value in now.items()
            if value is not None and self._told.get(name) != value
        ]
        self._told = now
        return lines

    def power_cycle(self) -> None:
        self.board = self.board.again()
        self.board.power_on()


def _numbers(text: str, count: int) -> list[int]:
    try:
        numbers = [int(each, 0) for each in text.split()]
    except ValueError:
        raise BadCommand(f"not a number in: {text}") from None
    if len(numbers) != count:
        raise BadCommand(f"{count} numbers are wanted: {text}")
    return numbers


def _adc(table: Table, rest: str) -> str:
    channel, counts = _numbers(rest, 2)
    if not 0 <= channel < ADC_INPUTS or not 0 <= counts <= 4095:
        raise BadCommand(f"adc 0..{ADC_INPUTS - 1} 0..4095")
    table.board.adc[channel] = counts
    return ""


def _gpio(table: Table, rest: str) -> str:
    pin, _, level = rest.partition(" ")
    (number,) = _numbers(pin, 1)
    if not 0 <= number < table.board.pins.count or level not in ("0", "1", "-"):
        raise BadCommand("gpio PIN 0|1|-")
    table.board.pins.set(number, None if level == "-" else level == "1")
    return ""


def _uart(table: Table, rest: str) -> str:
    table.board.uart.put(rest.encode() + b"\n")
    return ""


def _power(table: Table, _rest: str) -> str:
    table.power_cycle()
    return ""


def _reset(table: Table, _rest: str) -> str:
    table.board.machine.reset("pin")
    return ""


def _show(table: Table, _rest: str) -> str:
    return "\n".join(f"{name} = {value}" for name, value in table.outputs().items())


def _cut(table: Table, rest: str) -> str:
    (operations,) = _numbers(rest, 1)
    flash = table.board.machine.flash
    flash.cut = attrs.evolve(Cut(0, Tear.TORN), operation=flash.operations + operations)
    return ""


VERBS: dict[str, Callable[[Table, str], str]] = {
    "adc": _adc,
    "gpio": _gpio,
    "uart": _uart,
    "power": _power,
    "reset": _reset,
    "show": _show,
    "cut": _cut,
}
