"""The container of rules: its shape, and the strict codec between it and bytes.

`firmware/program.cddl` is the specification. Decoding checks shape and bounds only and says what is
wrong in words; what the code may do is checked by `verifier`. Deliberately not here: signatures
(`signed`), boards' pins (`boards`).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any

import attrs

from mesh.rules.isa import (
    INSTRUCTION_BYTES,
    INSTRUCTIONS_MAX,
    INT_MAX,
    INT_MIN,
    RESOURCES_MAX,
    RULES_MAX,
    SLOTS_MAX,
)
from mesh.wire import cbor
from mesh.wire.errors import WireError

FORMAT = 1
PROGRAM_BYTES_MAX = 2048
COUNTER_MAX = 2**32 - 1
CHANNEL_MAX = 2**16 - 1
PARAM_MAX = 2**32 - 1
PERIOD_MIN_MS, PERIOD_MAX_MS = 10, 86_400_000
TARGET_ID_BYTES = 8


class Class(IntEnum):
    """Kinds of resources."""

    GPIO = 1
    ADC = 2
    DAC = 3
    SPI = 4
    I2C = 5
    UART = 6


class Access(IntEnum):
    READ = 1
    WRITE = 2
    BOTH = 3

    @property
    def reads(self) -> bool:
        return self is not Access.WRITE

    @property
    def writes(self) -> bool:
        return self is not Access.READ


class BoardKind(IntEnum):
    """What a program can be made for."""

    STM32F405 = 1
    STM32H7A3 = 2
    NRF52840 = 3
    RP2040 = 4
    LINUX = 5


class Edge(IntEnum):
    RISING = 1
    FALLING = 2
    BOTH = 3


@attrs.frozen
class Resource:
    """Something outside that the rules may touch."""

    kind: Class
    access: Access
    channel: int
    param: int = 0


@attrs.frozen
class Every:
    """Fires each `period_ms`."""

    period_ms: int


@attrs.frozen
class OnEdge:
    """Fires when a pin changes."""

    resource: int
    edge: Edge


@attrs.frozen
class OnLine:
    """Fires when a line has ended on a UART."""

    resource: int


Trigger = Every | OnEdge | OnLine


@attrs.frozen
class Rule:
    trigger: Trigger
    slots: tuple[int, ...]
    """Values when the program starts."""
    inputs: int
    """Bit i: slot i may be written from outside."""
    code: bytes
    worst: int
    """Instructions on the longest path."""


@attrs.frozen
class AnyLeaf:
    """Every leaf of the mesh."""


@attrs.frozen
class OneLeaf:
    prefix: bytes
    """First 8 bytes of its node id."""


@attrs.frozen
class LeavesOf:
    board: BoardKind


Target = AnyLeaf | OneLeaf | LeavesOf


@attrs.frozen
class Program:
    target: Target
    counter: int
    """Greater than that of any program the leaf has accepted before."""
    resources: tuple[Resource, ...]
    rules: tuple[Rule, ...]


class BadProgram(ValueError):
    """The bytes are not a program; the text says what and where."""


# -- encoding ------------------------------------------------------------------------------------
def encode_program(program: Program) -> bytes:
    """The one encoding of a program. Raises BadProgram if it is out of its bounds."""
    data = cbor.encode(
        [
            FORMAT,
            _target_out(program.target),
            program.counter,
            [[r.kind.value, r.access.value, r.channel, r.param] for r in program.resources],
            [_rule_out(rule) for rule in program.rules],
        ]
    )
    decode_program(data)
    return data


def _target_out(target: Target) -> list[object]:
    if isinstance(target, OneLeaf):
        return [1, target.prefix]
    return [2, target.board.value] if isinstance(target, LeavesOf) else [0]


def _rule_out(rule: Rule) -> list[object]:
    trigger = rule.trigger
    if isinstance(trigger, Every):
        when = [1, trigger.period_ms]
    elif isinstance(trigger, OnEdge):
        when = [2, trigger.resource, trigger.edge.value]
    else:
        when = [3, trigger.resource]
    return [when, list(rule.slots), rule.inputs, rule.code, rule.worst]


# -- decoding ------------------------------------------------------------------------------------
def decode_program(data: bytes) -> Program:
    """Decode bytes from anywhere. Raises BadProgram and nothing else."""
    if len(data) > PROGRAM_BYTES_MAX:
        raise BadProgram(f"{len(data)} bytes, at most {PROGRAM_BYTES_MAX} are allowed")
    try:
        item = cbor.decode(data)
    except WireError as error:
        raise BadProgram(f"not canonical CBOR: {error}") from None
    form, target, counter, resources, rules = _array(item, "program", 5, 5)
    if type(form) is not int or form != FORMAT:
        raise BadProgram(f"format {form!r}, this version knows {FORMAT}")
    return Program(
        target=_target(target),
        counter=_int(counter, "counter", 0, COUNTER_MAX),
        resources=tuple(
            _resource(each, f"resource {index}")
            for index, each in enumerate(_array(resources, "resources", 0, RESOURCES_MAX))
        ),
        rules=tuple(
            _rule(each, f"rule {index}")
            for index, each in enumerate(_array(rules, "rules", 1, RULES_MAX))
        ),
    )


def _array(item: object, what: str, low: int, high: int) -> Sequence[Any]:
    if type(item) is not list or not low <= len(item) <= high:
        raise BadProgram(f"{what}: expected an array of {low}..{high}")
    return item


def _int(item: object, what: str, low: int, high: int) -> int:
    if type(item) is not int or not low <= item <= high:
        raise BadProgram(f"{what}: expected a number in {low}..{high}")
    return item


def _bytes(item: object, what: str, low: int, high: int) -> bytes:
    if type(item) is not bytes or not low <= len(item) <= high:
        raise BadProgram(f"{what}: expected {low}..{high} bytes")
    return item


def _target(item: object) -> Target:
    kind, *rest = _array(item, "target", 1, 2)
    kind = _int(kind, "target kind", 0, 2)
    if kind == 0 and not rest:
        return AnyLeaf()
    if kind == 1 and rest:
        return OneLeaf(_bytes(rest[0], "target", TARGET_ID_BYTES, TARGET_ID_BYTES))
    if kind == 2 and rest:
        return LeavesOf(BoardKind(_int(rest[0], "target board", 1, len(BoardKind))))
    raise BadProgram("target: unknown kind")


def _resource(item: object, what: str) -> Resource:
    kind, access, channel, param = _array(item, what, 4, 4)
    return Resource(
        Class(_int(kind, f"{what} class", 1, len(Class))),
        Access(_int(access, f"{what} access", 1, len(Access))),
        _int(channel, f"{what} channel", 0, CHANNEL_MAX),
        _int(param, f"{what} param", 0, PARAM_MAX),
    )


def _rule(item: object, what: str) -> Rule:
    trigger, slots, inputs, code, worst = _array(item, what, 5, 5)
    size_max = INSTRUCTIONS_MAX * INSTRUCTION_BYTES
    return Rule(
        trigger=_trigger(trigger, f"{what} trigger"),
        slots=tuple(
            _int(each, f"{what} slot", INT_MIN, INT_MAX)
            for each in _array(slots, f"{what} slots", 0, SLOTS_MAX)
        ),
        inputs=_int(inputs, f"{what} inputs", 0, 2**SLOTS_MAX - 1),
        code=_bytes(code, f"{what} code", INSTRUCTION_BYTES, size_max),
        worst=_int(worst, f"{what} worst", 0, INSTRUCTIONS_MAX),
    )


def _trigger(item: object, what: str) -> Trigger:
    kind, *rest = _array(item, what, 2, 3)
    kind = _int(kind, f"{what} kind", 1, 3)
    if kind == 1 and len(rest) == 1:
        return Every(_int(rest[0], f"{what} period", PERIOD_MIN_MS, PERIOD_MAX_MS))
    resource = _int(rest[0], f"{what} resource", 0, RESOURCES_MAX - 1)
    if kind == 2 and len(rest) == 2:
        return OnEdge(resource, Edge(_int(rest[1], f"{what} edge", 1, len(Edge))))
    if kind == 3 and len(rest) == 1:
        return OnLine(resource)
    raise BadProgram(f"{what}: unknown kind")
