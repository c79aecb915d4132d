"""The rule machine: runs verified rules against resources that are handed in.

Sans-IO: `run` takes the rule, its slots and a `Bench` (how to read and write resources, the time)
and gives back the slots and what was asked for. It never raises for verified code. The twin of
`firmware/core/vm.c`; docs/leaf-vm.md is the specification. Deliberately not here: triggers
(`engine`), verification (`verifier`), what a resource is on this machine (adapters).
"""

from __future__ import annotations

from typing import Protocol

import attrs

from mesh.rules.isa import ARITHMETIC, REGISTERS, Instruction, Op, wrap
from mesh.rules.verifier import decode

TIME_MASK = 2**31 - 1


class Bench(Protocol):
    """The outside, as one program may see it."""

    def read(self, resource: int) -> int:
        """The resource with that index; `FAILED` when it does not answer."""
        ...

    def write(self, resource: int, value: int) -> None: ...

    def now_ms(self) -> int:
        """Milliseconds since the program started."""
        ...


@attrs.frozen
class Emitted:
    """EVT: an event of the rule."""

    code: int
    value: int


@attrs.frozen
class Asked:
    """LLM: a question whose answer belongs into `slot`."""

    prompt: int
    value: int
    slot: int


@attrs.frozen
class Outcome:
    """What one run of a rule did, beside its writes."""

    slots: tuple[int, ...]
    steps: int
    messages: tuple[Emitted | Asked, ...]


class Machine:
    """Runs one rule. The code must have passed the verifier."""

    def __init__(self, code: bytes) -> None:
        self._instructions = decode(code)

    def run(self, slots: tuple[int, ...], bench: Bench) -> Outcome:
        """One run, from the first instruction to RET."""
        state = _State([0] * REGISTERS, list(slots), [], bench)
        at = steps = 0
        while True:
            instruction = self._instructions[at]
            at += 1
            steps += 1
            if instruction.op is Op.RET:
                return Outcome(tuple(state.slots), steps, tuple(state.messages))
            at += _step(instruction, state)
            assert steps < len(self._instructions), "verified code only goes forward"


@attrs.define
class _State:
    registers: list[int]
    slots: list[int]
    messages: list[Emitted | Asked]
    bench: Bench


def _step(instruction: Instruction, state: _State) -> int:
    """Carry out one instruction; returns how many to leave out after it."""
    op, a, b, c = instruction.op, instruction.a, instruction.b, instruction.c
    registers = state.registers
    arithmetic = ARITHMETIC.get(op)
    if arithmetic is not None:
        registers[a] = arithmetic(registers[b], registers[c])
    elif op is Op.JMP:
        return a
    elif op is Op.BRT:
        return b if registers[a] else 0
    elif op is Op.BRF:
        return 0 if registers[a] else b
    elif op in (Op.ACT, Op.EVT, Op.LLM, Op.STV):
        _give(instruction, state)
    else:
        registers[a] = _taken(instruction, state)
    return 0


def _taken(instruction: Instruction, state: _State) -> int:
    """What an instruction that only sets `ra` sets it to."""
    op, b = instruction.op, instruction.b
    if op is Op.LDI:
        return instruction.immediate
    if op is Op.LDH:
        low = state.registers[instruction.a] & 0xFFFF
        return wrap(instruction.immediate << 16 | low)
    if op is Op.MOV:
        return state.registers[b]
    if op is Op.LDV:
        return state.slots[b]
    if op is Op.TIM:
        return state.bench.now_ms() & TIME_MASK
    assert op is Op.RES
    return state.bench.read(b)


def _give(instruction: Instruction, state: _State) -> None:
    op, a = instruction.op, instruction.a
    value = state.registers[instruction.b]
    if op is Op.ACT:
        state.bench.write(a, value)
    elif op is Op.EVT:
        state.messages.append(Emitted(a, value))
    elif op is Op.LLM:
        state.messages.append(Asked(a, value, instruction.c))
    else:
        assert op is Op.STV
        state.slots[a] = value
