"""The verifier: what a program must be before anything runs it.

The rules are those of docs/leaf-vm.md, numbered there; `firmware/core/verifier.c` is the other
implementation and must give the same verdict. One forward pass over the code is enough because
jumps only go forward: when an instruction is reached, every way to it has been seen. A second,
backward pass gives the exact worst case. Deliberately not here: which pins a board has (`boards`
hands in a predicate).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

import attrs

from mesh.rules.isa import INSTRUCTION_BYTES, REGISTERS, Instruction, Op, Role
from mesh.rules.program import Class, Every, OnEdge, OnLine, Program, Resource, Rule


class Flaw(IntEnum):
    """Why a program is refused; the firmware answers the same numbers."""

    RESOURCE = 2
    """A resource that the board does not have, or a pin listed with two classes."""
    INSTRUCTION = 3
    """Unknown op, register out of range, or an unused byte that is not 0."""
    RUNS_OFF = 4
    """A skip out of the code, or a last instruction that is not RET."""
    UNREACHABLE = 5
    UNSET_REGISTER = 6
    SLOT = 7
    ACCESS = 8
    WORST = 9
    TRIGGER = 10


@attrs.frozen
class Refusal:
    """The first thing wrong: rule and instruction by index, -1 for the program or rule itself."""

    flaw: Flaw
    rule: int = -1
    instruction: int = -1


class _Refused(Exception):
    def __init__(self, flaw: Flaw, instruction: int = -1) -> None:
        super().__init__(flaw.name)
        self.flaw = flaw
        self.instruction = instruction


def verify(program: Program, has: Callable[[Resource], bool]) -> Refusal | None:
    """None for a program that may run on a board where `has` says which resources exist."""
    if not _resources_are_sound(program.resources, has):
        return Refusal(Flaw.RESOURCE)
    for index, rule in enumerate(program.rules):
        try:
            _check_rule(rule, program.resources)
        except _Refused as refused:
            return Refusal(refused.flaw, index, refused.instruction)
    return None


def worst_case(code: bytes) -> int:
    """Instructions on the longest path of code that has passed `verify`'s rules 3 and 4."""
    instructions = decode(code)
    longest = [0] * (len(instructions) + 1)
    for index in range(len(instructions) - 1, -1, -1):
        longest[index] = 1 + max(
            (longest[next_] for next_ in _ways(instructions, index)), default=0
        )
    return longest[0]


def decode(code: bytes) -> list[Instruction]:
    """The instructions of code whose ops are known. Raises ValueError for an unknown one."""
    quads = [code[i : i + INSTRUCTION_BYTES] for i in range(0, len(code), INSTRUCTION_BYTES)]
    return [Instruction(Op(op), a, b, c) for op, a, b, c in quads]


def _resources_are_sound(resources: tuple[Resource, ...], has: Callable[[Resource], bool]) -> bool:
    pins: dict[int, Resource] = {}
    for each in resources:
        if not has(each):
            return False
        if each.kind is Class.GPIO:
            first = pins.setdefault(each.channel, each)
            if first.param != each.param:
                return False
    return True


def _check_rule(rule: Rule, resources: tuple[Resource, ...]) -> None:
    _check_trigger(rule, resources)
    if rule.inputs >> len(rule.slots):
        raise _Refused(Flaw.SLOT)
    if len(rule.code) % INSTRUCTION_BYTES:
        raise _Refused(Flaw.INSTRUCTION)
    instructions = _known_instructions(rule.code)
    if instructions[-1].op is not Op.RET:
        raise _Refused(Flaw.RUNS_OFF, len(instructions) - 1)
    _check_flow(rule, resources, instructions)
    if worst_case(rule.code) != rule.worst:
        raise _Refused(Flaw.WORST)


def _check_trigger(rule: Rule, resources: tuple[Resource, ...]) -> None:
    trigger = rule.trigger
    if isinstance(trigger, Every):
        return
    wanted = Class.GPIO if isinstance(trigger, OnEdge) else Class.UART
    assert isinstance(trigger, OnEdge | OnLine)
    if trigger.resource >= len(resources):
        raise _Refused(Flaw.TRIGGER)
    resource = resources[trigger.resource]
    if resource.kind is not wanted or not resource.access.reads:
        raise _Refused(Flaw.TRIGGER)


def _known_instructions(code: bytes) -> list[Instruction]:
    for index in range(0, len(code), INSTRUCTION_BYTES):
        try:
            instruction = decode(code[index : index + INSTRUCTION_BYTES])[0]
        except ValueError:
            raise _Refused(Flaw.INSTRUCTION, index // INSTRUCTION_BYTES) from None
        for role, value in instruction.operands():
            register = role in (Role.SETS, Role.READS, Role.CHANGES)
            if (register and value >= REGISTERS) or (role is Role.ZERO and value):
                raise _Refused(Flaw.INSTRUCTION, index // INSTRUCTION_BYTES)
    return decode(code)


def _check_flow(
    rule: Rule, resources: tuple[Resource, ...], instructions: list[Instruction]
) -> None:
    everything = (1 << REGISTERS) - 1
    known: list[int | None] = [None] * len(instructions)  # bit r: set on every way seen so far
    known[0] = 0
    for index, instruction in enumerate(instructions):
        registers = known[index]
        if registers is None:
            raise _Refused(Flaw.UNREACHABLE, index)
        after = _check_operands(rule, resources, instruction, index, registers)
        for next_ in _ways(instructions, index):
            if next_ >= len(instructions):
                raise _Refused(Flaw.RUNS_OFF, index)
            seen = known[next_]
            known[next_] = after & (everything if seen is None else seen)


def _check_operands(
    rule: Rule,
    resources: tuple[Resource, ...],
    instruction: Instruction,
    index: int,
    registers: int,
) -> int:
    """Rules 6 to 8 for one instruction; returns the registers that are set after it."""
    after = registers
    for role, value in instruction.operands():
        if role in (Role.READS, Role.CHANGES) and not registers >> value & 1:
            raise _Refused(Flaw.UNSET_REGISTER, index)
        if role in (Role.SETS, Role.CHANGES):
            after |= 1 << value
        if role in (Role.SLOT, Role.INPUT_SLOT) and value >= len(rule.slots):
            raise _Refused(Flaw.SLOT, index)
        if role is Role.INPUT_SLOT and not rule.inputs >> value & 1:
            raise _Refused(Flaw.SLOT, index)
        if role in (Role.SOURCE, Role.SINK) and not _may(resources, value, role):
            raise _Refused(Flaw.ACCESS, index)
    return after


def _may(resources: tuple[Resource, ...], index: int, role: Role) -> bool:
    if index >= len(resources):
        return False
    access = resources[index].access
    return access.reads if role is Role.SOURCE else access.writes


def _ways(instructions: list[Instruction], index: int) -> tuple[int, ...]:
    """Where control can go after an instruction."""
    instruction = instructions[index]
    if instruction.op is Op.RET:
        return ()
    if instruction.op is Op.JMP:
        return (index + 1 + instruction.skip,)
    if instruction.op in (Op.BRT, Op.BRF):
        return (index + 1, index + 1 + instruction.skip)
    return (index + 1,)
