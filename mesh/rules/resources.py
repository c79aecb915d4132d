"""How a rule names what it touches: `gpio(5)`, `i2c(1, address=0x48, register=0, size=2)`.

Turns a call in the syntax tree into a resource, with the limits of docs/leaf-vm.md. Deliberately
not here: which of them a board has (`boards`).
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import NoReturn

from mesh.rules.program import CHANNEL_MAX, Access, Class, Resource
from mesh.rules.source import SourceError, place_of

CLASSES = {each.name.lower(): each for each in Class}
PULLS = {"none": 0, "up": 1, "down": 2}
BUS_BYTES_MAX = 4
READABLE = {Class.GPIO, Class.ADC, Class.SPI, Class.I2C, Class.UART}
WRITABLE = {Class.GPIO, Class.DAC, Class.SPI, Class.I2C, Class.UART}
_KEYWORDS: dict[Class, Mapping[str, int]] = {
    Class.GPIO: {},
    Class.ADC: {},
    Class.DAC: {},
    Class.UART: {},
    Class.SPI: {"select": 0xFFFF, "first": 0xFF, "size": BUS_BYTES_MAX},
    Class.I2C: {"address": 0x7F, "register": 0xFF, "size": BUS_BYTES_MAX},
}
"""Required keywords and their greatest values."""


def parse_resource(
    call: ast.Call, source: str, constant: Callable[[ast.expr], int | None]
) -> Resource:
    """The resource that a call names, with access BOTH as a placeholder. `constant` evaluates what
    is written for a number. Raises SourceError."""
    assert isinstance(call.func, ast.Name)
    kind = CLASSES[call.func.id]

    def wrong(node: ast.AST, text: str, hint: str = "") -> NoReturn:
        raise SourceError(text, place_of(node, source), hint)

    if len(call.args) != 1:
        wrong(call, f"{call.func.id} takes one number: which one", f"{call.func.id}(0)")
    given = {each.arg or "**": each.value for each in call.keywords}
    if kind is Class.GPIO and "pull" in given:
        pull = given.pop("pull")
        if not (isinstance(pull, ast.Constant) and pull.value in PULLS):
            wrong(pull, "pull is one of " + ", ".join(f'"{each}"' for each in PULLS))
        param = PULLS[str(pull.value)]
    else:
        param = 0
    wanted = _KEYWORDS[kind]
    for name, node in given.items():
        if name not in wanted:
            wrong(node, f"{call.func.id} has no option {name!r}")
    for name in wanted:
        if name not in given:
            wrong(call, f"{call.func.id} needs {name}=...")
    numbers = {
        name: _number(given[name], f"{name}", 1 if name == "size" else 0, high, constant, source)
        for name, high in wanted.items()
    }
    channel = _number(call.args[0], call.func.id, 0, CHANNEL_MAX, constant, source)
    return Resource(kind, Access.BOTH, channel, param or _param(kind, numbers))


def _number(
    node: ast.expr,
    what: str,
    low: int,
    high: int,
    constant: Callable[[ast.expr], int | None],
    source: str,
) -> int:
    value = constant(node)
    if value is None or not low <= value <= high:
        raise SourceError(
            f"{what}: a whole number from {low} to {high} must be written here",
            place_of(node, source),
        )
    return value


def _param(kind: Class, numbers: Mapping[str, int]) -> int:
    if kind is Class.SPI:
        return numbers["select"] | numbers["first"] << 16 | numbers["size"] << 24
    if kind is Class.I2C:
        return numbers["address"] | numbers["register"] << 8 | numbers["size"] << 16
    return 0


def spell(resource: Resource) -> str:
    """The resource as one would write it in a rule."""
    name, param = resource.kind.name.lower(), resource.param
    extra = ""
    if resource.kind is Class.GPIO and param:
        extra = ', pull="' + next(word for word, bits in PULLS.items() if bits == param) + '"'
    elif resource.kind is Class.SPI:
        extra = f", select={param & 0xFFFF}, first=0x{param >> 16 & 0xFF:02x}, size={param >> 24}"
    elif resource.kind is Class.I2C:
        extra = (
            f", address=0x{param & 0xFF:02x}, register=0x{param >> 8 & 0xFF:02x}"
            f", size={param >> 16}"
        )
    return f"{name}({resource.channel}{extra})"
