"""The instructions of the rule machine, as tables: names, operand roles, arithmetic.

The specification is docs/leaf-vm.md; `firmware/core/vm.c` is the other implementation. Everything
that must agree between the two is data here, so that the verifier, the machine, the disassembler
and the compiler cannot disagree among themselves. Deliberately not here: control flow and effects.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

import attrs

INSTRUCTION_BYTES = 4
INSTRUCTIONS_MAX = 64
REGISTERS = 8
SLOTS_MAX = 8
RESOURCES_MAX = 16
RULES_MAX = 4
INT_MIN, INT_MAX = -(2**31), 2**31 - 1
FIXED_ONE = 65_536
"""1.0 as a fixed number (Q16.16)."""


class Op(IntEnum):
    RET = 0x01
    LDI = 0x02
    LDH = 0x03
    MOV = 0x04
    LDV = 0x05
    STV = 0x06
    ADD = 0x10
    SUB = 0x11
    MUL = 0x12
    DIV = 0x13
    MOD = 0x14
    MLQ = 0x15
    DVQ = 0x16
    MIN = 0x17
    MAX = 0x18
    AND = 0x19
    OR = 0x1A
    XOR = 0x1B
    SHL = 0x1C
    SAR = 0x1D
    LT = 0x20
    LE = 0x21
    EQ = 0x22
    NE = 0x23
    GT = 0x24
    GE = 0x25
    JMP = 0x30
    BRT = 0x31
    BRF = 0x32
    RES = 0x40
    ACT = 0x41
    EVT = 0x42
    LLM = 0x43
    TIM = 0x44


class Role(IntEnum):
    """What an operand byte means."""

    ZERO = 0
    SETS = 1
    """A register that is written."""
    READS = 2
    """A register that is read."""
    CHANGES = 3
    """A register that is read and written."""
    SLOT = 4
    INPUT_SLOT = 5
    SOURCE = 6
    """A resource that is read."""
    SINK = 7
    """A resource that is written."""
    SKIP = 8
    FREE = 9
    """Any byte."""


Roles = tuple[Role, Role, Role]
_Z, _S, _R, _F = Role.ZERO, Role.SETS, Role.READS, Role.FREE
_BINARY: Roles = (_S, _R, _R)
BINARY_OPS = tuple(op for op in Op if 0x10 <= op <= 0x25)
ROLES: dict[Op, Roles] = {
    Op.RET: (_Z, _Z, _Z),
    Op.LDI: (_S, _F, _F),
    Op.LDH: (Role.CHANGES, _F, _F),
    Op.MOV: (_S, _R, _Z),
    Op.LDV: (_S, Role.SLOT, _Z),
    Op.STV: (Role.SLOT, _R, _Z),
    **dict.fromkeys(BINARY_OPS, _BINARY),
    Op.JMP: (Role.SKIP, _Z, _Z),
    Op.BRT: (_R, Role.SKIP, _Z),
    Op.BRF: (_R, Role.SKIP, _Z),
    Op.RES: (_S, Role.SOURCE, _Z),
    Op.ACT: (Role.SINK, _R, _Z),
    Op.EVT: (_F, _R, _Z),
    Op.LLM: (_F, _R, Role.INPUT_SLOT),
    Op.TIM: (_S, _Z, _Z),
}
assert set(ROLES) == set(Op)


@attrs.frozen
class Instruction:
    """One instruction, decoded."""

    op: Op
    a: int = 0
    b: int = 0
    c: int = 0

    def encode(self) -> bytes:
        return bytes((self.op, self.a, self.b, self.c))

    def operands(self) -> tuple[tuple[Role, int], ...]:
        return tuple(zip(ROLES[self.op], (self.a, self.b, self.c), strict=True))

    @property
    def skip(self) -> int:
        """How many instructions a jump leaves out; 0 for all others."""
        return next((value for role, value in self.operands() if role is Role.SKIP), 0)

    @property
    def immediate(self) -> int:
        """b and c as the signed 16-bit number of LDI and LDH."""
        return int.from_bytes(bytes((self.b, self.c)), "little", signed=True)


def saturate(value: int) -> int:
    """The nearest number of 32 bits."""
    return max(INT_MIN, min(INT_MAX, value))


def wrap(bits: int) -> int:
    """The low 32 bits as a signed number."""
    bits &= 0xFFFF_FFFF
    return bits - 2**32 if bits > INT_MAX else bits


def _divide(dividend: int, divisor: int) -> int:
    """Towards zero; by zero saturates with the dividend's sign."""
    if divisor == 0:
        return 0 if dividend == 0 else (INT_MAX if dividend > 0 else INT_MIN)
    quotient = abs(dividend) // abs(divisor)
    return saturate(quotient if (dividend < 0) == (divisor < 0) else -quotient)


def _remainder(dividend: int, divisor: int) -> int:
    if divisor == 0:
        return 0
    rest = abs(dividend) % abs(divisor)
    return -rest if dividend < 0 else rest


ARITHMETIC: dict[Op, Callable[[int, int], int]] = {
    Op.ADD: lambda x, y: saturate(x + y),
    Op.SUB: lambda x, y: saturate(x - y),
    Op.MUL: lambda x, y: saturate(x * y),
    Op.DIV: _divide,
    Op.MOD: _remainder,
    Op.MLQ: lambda x, y: saturate((x * y) >> 16),
    Op.DVQ: lambda x, y: _divide(x << 16, y),
    Op.MIN: min,
    Op.MAX: max,
    Op.AND: lambda x, y: x & y,
    Op.OR: lambda x, y: x | y,
    Op.XOR: lambda x, y: x ^ y,
    Op.SHL: lambda x, y: wrap(x << (y & 31)),
    Op.SAR: lambda x, y: x >> (y & 31),
    Op.LT: lambda x, y: int(x < y),
    Op.LE: lambda x, y: int(x <= y),
    Op.EQ: lambda x, y: int(x == y),
    Op.NE: lambda x, y: int(x != y),
    Op.GT: lambda x, y: int(x > y),
    Op.GE: lambda x, y: int(x >= y),
}
assert set(ARITHMETIC) == set(BINARY_OPS)


def encode(instructions: list[Instruction]) -> bytes:
    return b"".join(each.encode() for each in instructions)
