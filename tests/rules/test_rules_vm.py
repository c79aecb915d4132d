"""The machine and the verifier against docs/leaf-vm.md."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from programs import EVERYTHING, NUMBERS, programs, rules

from mesh.rules.isa import ARITHMETIC, INT_MAX, INT_MIN, Instruction, Op, encode, saturate
from mesh.rules.program import (
    Access,
    AnyLeaf,
    BadProgram,
    Class,
    Every,
    OnLine,
    Program,
    Resource,
    Rule,
    decode_program,
    encode_program,
)
from mesh.rules.verifier import Flaw, Refusal, verify, worst_case
from mesh.rules.vm import Asked, Emitted, Machine

BIG = settings(max_examples=40, deadline=None, suppress_health_check=[*HealthCheck])
"""Whole programs take time to draw."""
RET = Instruction(Op.RET)
LDI = Instruction(Op.LDI)


@attrs.define
class Table:
    """A bench whose resources are numbers in a list."""

    values: list[int]
    written: list[tuple[int, int]] = attrs.Factory(list)
    time_ms: int = 0

    def read(self, resource: int) -> int:
        return self.values[resource]

    def write(self, resource: int, value: int) -> None:
        self.written.append((resource, value))

    def now_ms(self) -> int:
        return self.time_ms


def everywhere(_resource: Resource) -> bool:
    return True


def program(*code: Instruction, **changes: Any) -> Program:
    rule = Rule(Every(1000), (0, 0), 0b10, encode(list(code)), 0)
    rule = attrs.evolve(rule, **changes)
    if "worst" not in changes:
        rule = attrs.evolve(rule, worst=worst_case(rule.code))
    return Program(AnyLeaf(), 1, EVERYTHING, (rule,))


def run(*code: Instruction, slots: tuple[int, ...] = (0, 0), bench: Table | None = None):  # type: ignore[no-untyped-def]
    return Machine(encode(list(code))).run(slots, bench or Table([0, 0, 0, 0]))


def test_the_thermostat_of_the_guide_drives_the_relay() -> None:
    code = (
        Instruction(Op.RES, 0, 1),
        Instruction(Op.LDI, 1, *(800).to_bytes(2, "little")),
        Instruction(Op.GT, 2, 0, 1),
        Instruction(Op.ACT, 0, 2),
        RET,
    )
    cold, hot = Table([0, 799, 0, 0]), Table([0, 801, 0, 0])

    assert verify(program(*code), everywhere) is None
    run(*code, bench=cold)
    run(*code, bench=hot)

    assert cold.written == [(0, 0)]
    assert hot.written == [(0, 1)]


@given(NUMBERS, NUMBERS)
def test_arithmetic_is_exact_then_saturated(x: int, y: int) -> None:
    quotient = Fraction(x, y) if y else None

    assert ARITHMETIC[Op.ADD](x, y) == saturate(x + y)
    assert ARITHMETIC[Op.MLQ](x, y) == saturate((Fraction(x * y, 65_536)).__floor__())
    assert ARITHMETIC[Op.DIV](x, y) == (
        saturate(int(quotient)) if quotient is not None else saturate(x * 2**33)
    )
    if quotient is not None:
        assert ARITHMETIC[Op.MOD](x, y) == x - y * int(quotient)
        assert ARITHMETIC[Op.DVQ](x, y) == saturate(int(quotient * 65_536))
    assert all(INT_MIN <= each(x, y) <= INT_MAX for each in ARITHMETIC.values())


@BIG
@given(programs())
def test_a_program_has_one_encoding_and_verifies_where_its_resources_are(made: Program) -> None:
    data = encode_program(made)

    assert decode_program(data) == made
    assert encode_program(decode_program(data)) == data
    assert verify(made, everywhere) is None
    assert verify(made, lambda r: r.kind is not Class.ADC) == Refusal(Flaw.RESOURCE)


@BIG
@given(rules(), st.lists(NUMBERS, min_size=4, max_size=4))
def test_a_verified_rule_ends_within_its_worst_case(rule: Rule, values: list[int]) -> None:
    outcome = Machine(rule.code).run(rule.slots, Table(values))

    assert 1 <= outcome.steps <= rule.worst <= 64
    assert len(outcome.slots) == len(rule.slots)


@given(st.binary(max_size=120))
def test_bytes_that_are_no_program_are_refused_in_words(data: bytes) -> None:
    with pytest.raises(BadProgram, match=r"\w"):
        decode_program(data)


def test_the_worst_case_is_the_longest_path_and_not_the_length() -> None:
    code = encode([LDI, Instruction(Op.BRT, 0, 2), LDI, Instruction(Op.JMP, 1), LDI, RET])

    assert worst_case(code) == 5  # LDI BRT LDI JMP RET; the other way is LDI BRT LDI RET


def test_messages_come_in_order_and_slots_are_kept() -> None:
    code = (
        Instruction(Op.TIM, 0),
        Instruction(Op.EVT, 7, 0),
        Instruction(Op.LLM, 3, 0, 1),
        Instruction(Op.STV, 0, 0),
        RET,
    )
    outcome = run(*code, bench=Table([0] * 4, time_ms=2**31 + 5))

    assert outcome.messages == (Emitted(7, 5), Asked(3, 5, 1))
    assert outcome.slots == (5, 0)


FLAWS = {
    "an unknown op": (
        program(RET, code=b"\x99\0\0\0" + RET.encode(), worst=2),
        Flaw.INSTRUCTION,
        0,
    ),
    "half an instruction": (program(RET, code=RET.encode() + b"\1", worst=1), Flaw.INSTRUCTION, -1),
    "a ninth register": (program(Instruction(Op.LDI, 8), RET), Flaw.INSTRUCTION, 0),
    "an unused byte in use": (program(Instruction(Op.RET, 1)), Flaw.INSTRUCTION, 0),
    "no RET at the end": (program(LDI, worst=1), Flaw.RUNS_OFF, 0),
    "a skip past the end": (
        program(LDI, Instruction(Op.BRT, 0, 9), RET, worst=3),
        Flaw.RUNS_OFF,
        1,
    ),
    "code behind a RET": (program(RET, RET, worst=1), Flaw.UNREACHABLE, 1),
    "code behind a jump": (program(Instruction(Op.JMP, 1), RET, RET, worst=2), Flaw.UNREACHABLE, 1),
    "a register never set": (program(Instruction(Op.EVT, 1, 0), RET), Flaw.UNSET_REGISTER, 0),
    "a register set on one way only": (
        program(
            LDI, Instruction(Op.BRT, 0, 1), Instruction(Op.LDI, 1), Instruction(Op.EVT, 1, 1), RET
        ),
        Flaw.UNSET_REGISTER,
        3,
    ),
    "half a constant": (program(Instruction(Op.LDH, 0), RET), Flaw.UNSET_REGISTER, 0),
    "a slot not declared": (program(Instruction(Op.LDV, 0, 2), RET), Flaw.SLOT, 0),
    "an answer into no input": (program(LDI, Instruction(Op.LLM, 0, 0, 0), RET), Flaw.SLOT, 1),
    "an input that is no slot": (program(RET, inputs=0b100), Flaw.SLOT, -1),
    "a resource not listed": (program(Instruction(Op.RES, 0, 4), RET), Flaw.ACCESS, 0),
    "writing to an input": (program(LDI, Instruction(Op.ACT, 1, 0), RET), Flaw.ACCESS, 1),
    "reading an output": (program(Instruction(Op.RES, 0, 2), RET), Flaw.ACCESS, 0),
    "a lie about the worst case": (program(LDI, RET, worst=1), Flaw.WORST, -1),
    "a line from a pin": (program(RET, trigger=OnLine(0)), Flaw.TRIGGER, -1),
    "a trigger without resource": (program(RET, trigger=OnLine(9)), Flaw.TRIGGER, -1),
}


@pytest.mark.parametrize("name", FLAWS)
def test_the_verifier_refuses(name: str) -> None:
    made, flaw, instruction = FLAWS[name]

    assert verify(made, everywhere) == Refusal(flaw, 0, instruction)


def test_one_pin_cannot_have_two_pulls() -> None:
    pins = (Resource(Class.GPIO, Access.READ, 5, 1), Resource(Class.GPIO, Access.READ, 5, 2))

    assert verify(attrs.evolve(program(RET), resources=pins), everywhere) == Refusal(Flaw.RESOURCE)
