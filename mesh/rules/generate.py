"""From a rule's tree to instructions: registers, constants, forward jumps.

There are no loops, so a name is needed until its last mention in the text and its register is free
after that; temporaries take what is left. More values than registers at one moment is an error that
names the rule. Each node is visited once, in order. Deliberately not here: types (`understand`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import attrs

from mesh.rules.isa import INSTRUCTIONS_MAX, REGISTERS, Instruction, Op
from mesh.rules.program import Resource
from mesh.rules.tree import (
    Ask,
    Binary,
    Both,
    Choice,
    Either,
    Emit,
    Expression,
    If,
    Local,
    Now,
    Number,
    Read,
    Return,
    SetLocal,
    SetSlot,
    Slot,
    Statement,
    Write,
)


class TooBig(Exception):
    """The rule does not fit the machine; the text says how."""


@attrs.frozen
class _Held:
    """A register with a value; a `loose` one may be reused as soon as the value is consumed."""

    register: int
    loose: bool


def generate(body: Sequence[Statement], index_of: Callable[[Resource], int]) -> list[Instruction]:
    """The rule's instructions. Raises TooBig."""
    maker = _Generator(index_of, Counter(_mentions(body)))
    ended = maker.block(body)
    if not ended:
        maker.put(Op.RET)
    if len(maker.code) > INSTRUCTIONS_MAX:
        raise TooBig(f"{len(maker.code)} instructions, at most {INSTRUCTIONS_MAX} fit in a rule")
    return maker.code


class _Generator:
    def __init__(self, index_of: Callable[[Resource], int], mentions: Counter[str]) -> None:
        self.code: list[Instruction] = []
        self._index_of = index_of
        self._mentions = mentions
        self._free = list(range(REGISTERS - 1, -1, -1))
        self._locals: dict[str, int] = {}
        self._needed: Counter[int] = Counter()
        """Registers of left operands while the right ones are evaluated."""
        self._outlived: set[int] = set()
        """Needed ones whose name has been mentioned for the last time."""

    # -- small parts -----------------------------------------------------------------------------
    def put(self, op: Op, a: int = 0, b: int = 0, c: int = 0) -> int:
        """Append; returns where."""
        self.code.append(Instruction(op, a, b, c))
        return len(self.code) - 1

    def _land(self, jump: int) -> None:
        """Let a jump that was put before skip everything up to here."""
        old, skip = self.code[jump], len(self.code) - jump - 1
        if skip > 255:
            raise TooBig(f"at most {INSTRUCTIONS_MAX} instructions fit in a rule")
        a, b = (skip, 0) if old.op is Op.JMP else (old.a, skip)
        self.code[jump] = Instruction(old.op, a, b)

    def _take(self) -> int:
        if not self._free:
            raise TooBig(f"more than {REGISTERS} values are needed at the same moment")
        return self._free.pop()

    def _drop(self, held: _Held) -> None:
        if held.loose:
            self._free.append(held.register)

    def _mentioned(self, name: str) -> bool:
        """Count a mention; whether it was the last."""
        self._mentions[name] -= 1
        return self._mentions[name] == 0

    # -- statements ------------------------------------------------------------------------------
    def block(self, body: Iterable[Statement]) -> bool:
        """Returns whether every way through it ends the run."""
        ended = False
        for statement in body:
            ended = self._statement(statement)
        return ended

    def _statement(self, statement: Statement) -> bool:
        if isinstance(statement, Return):
            self.put(Op.RET)
            return True
        if isinstance(statement, If):
            return self._if(statement)
        if isinstance(statement, SetLocal):
            self._set_local(statement)
            return False
        held = self._value(statement.value)
        if isinstance(statement, SetSlot):
            self.put(Op.STV, statement.target.index, held.register)
        elif isinstance(statement, Write):
            self.put(Op.ACT, self._index_of(statement.resource), held.register)
        elif isinstance(statement, Emit):
            self.put(Op.EVT, statement.code, held.register)
        else:
            assert isinstance(statement, Ask)
            self.put(Op.LLM, statement.prompt, held.register, statement.answer.index)
        self._drop(held)
        return False

    def _set_local(self, statement: SetLocal) -> None:
        name = statement.target.name
        target = self._locals.get(name)
        if target is None:
            held = self._value(statement.value)
            if held.loose:
                target = held.register
            else:
                target = self._take()
                self.put(Op.MOV, target, held.register)
            self._locals[name] = target
        else:
            self._drop_unless(self._value(statement.value, into=target), target)
        if self._mentioned(name):  # set and never looked at again
            self._free.append(self._locals.pop(name))

    def _drop_unless(self, held: _Held, target: int) -> None:
        if held.register != target:
            self.put(Op.MOV, target, held.register)
            self._drop(held)

    def _if(self, statement: If) -> bool:
        otherwise = self._branch_unless(statement.condition)
        then_ends = self.block(statement.then)
        if not statement.otherwise:
            self._land(otherwise)
            return False
        over = None if then_ends else self.put(Op.JMP)
        self._land(otherwise)
        else_ends = self.block(statement.otherwise)
        if over is not None:
            self._land(over)
        return then_ends and else_ends

    def _branch_unless(self, condition: Expression) -> int:
        held = self._value(condition)
        self._drop(held)
        return self.put(Op.BRF, held.register)

    # -- expressions -----------------------------------------------------------------------------
    def _value(self, value: Expression, into: int | None = None) -> _Held:
        """Evaluate; into that register if it can be done without looking at it afterwards."""
        if isinstance(value, Local):
            register = self._locals[value.name]
            last = self._mentioned(value.name)
            if last:
                del self._locals[value.name]
            if last and self._needed[register]:
                self._outlived.add(register)
                last = False
            return _Held(register, last)
        if isinstance(value, Binary):
            return self._binary(value, into)
        if isinstance(value, Choice):
            return self._choice(value, into)
        if isinstance(value, Both | Either):
            return self._either_or_both(value)
        held = self._result(into)
        self._simple(value, held.register)
        return held

    def _result(self, into: int | None) -> _Held:
        return _Held(self._take(), True) if into is None else _Held(into, False)

    def _simple(self, value: Number | Slot | Read | Now, register: int) -> None:
        if isinstance(value, Number):
            self._constant(value.bits, register)
        elif isinstance(value, Slot):
            self.put(Op.LDV, register, value.index)
        elif isinstance(value, Read):
            self.put(Op.RES, register, self._index_of(value.resource))
        else:
            self.put(Op.TIM, register)

    def _constant(self, bits: int, register: int) -> None:
        low, high = bits & 0xFFFF, bits >> 16 & 0xFFFF
        self.put(Op.LDI, register, low & 0xFF, low >> 8)
        if not -(2**15) <= bits < 2**15:
            self.put(Op.LDH, register, high & 0xFF, high >> 8)

    def _binary(self, value: Binary, into: int | None) -> _Held:
        left = self._value(value.left)
        self._needed[left.register] += 1
        right = self._value(value.right)
        self._needed[left.register] -= 1
        if left.register in self._outlived and not self._needed[left.register]:
            self._outlived.discard(left.register)
            left = _Held(left.register, loose=True)
        self._drop(right)
        self._drop(left)
        held = self._result(into)
        self.put(value.op, held.register, left.register, right.register)
        return held

    def _choice(self, value: Choice, into: int | None) -> _Held:
        otherwise = self._branch_unless(value.condition)
        held = self._result(into)
        self._drop_unless(self._value(value.then, held.register), held.register)
        over = self.put(Op.JMP)
        self._land(otherwise)
        self._drop_unless(self._value(value.otherwise, held.register), held.register)
        self._land(over)
        return held

    def _either_or_both(self, value: Both | Either) -> _Held:
        """Never into a given register: the right side may still look at it."""
        held = self._result(None)
        self._drop_unless(self._value(value.left, held.register), held.register)
        decided = self.put(Op.BRF if isinstance(value, Both) else Op.BRT, held.register)
        self._drop_unless(self._value(value.right, held.register), held.register)
        self._land(decided)
        return held


def _mentions(body: Iterable[Statement]) -> Iterable[str]:
    """Each mention of a local name, also where it is set."""
    for statement in body:
        if isinstance(statement, If):
            yield from _names(statement.condition)
            yield from _mentions(statement.then)
            yield from _mentions(statement.otherwise)
        elif not isinstance(statement, Return):
            yield from _names(statement.value)
            if isinstance(statement, SetLocal):
                yield statement.target.name


def _names(value: Expression) -> Iterable[str]:
    if isinstance(value, Local):
        yield value.name
    elif isinstance(value, Binary | Both | Either):
        yield from _names(value.left)
        yield from _names(value.right)
    elif isinstance(value, Choice):
        for part in (value.condition, value.then, value.otherwise):
            yield from _names(part)
