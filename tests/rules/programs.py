"""Hypothesis strategies for rule programs: verified ones, and ones with a single flaw."""

from __future__ import annotations

from hypothesis import strategies as st

from mesh.rules.isa import (
    BINARY_OPS,
    INT_MAX,
    INT_MIN,
    REGISTERS,
    ROLES,
    Instruction,
    Op,
    Role,
)
from mesh.rules.program import (
    Access,
    AnyLeaf,
    BoardKind,
    Class,
    Edge,
    Every,
    LeavesOf,
    OnEdge,
    OneLeaf,
    OnLine,
    Program,
    Resource,
    Rule,
    Trigger,
)
from mesh.rules.verifier import worst_case

NUMBERS = st.one_of(
    st.integers(INT_MIN, INT_MAX),
    st.sampled_from([0, 1, -1, 31, 32, 65_535, 65_536, INT_MAX, INT_MIN, INT_MIN + 1]),
)
BYTES = st.integers(0, 255)
EVERYTHING = (
    Resource(Class.GPIO, Access.BOTH, 5),
    Resource(Class.ADC, Access.READ, 0),
    Resource(Class.GPIO, Access.WRITE, 6),
    Resource(Class.UART, Access.BOTH, 1),
)
"""Resources that every board has."""
TARGETS = st.one_of(
    st.just(AnyLeaf()),
    st.builds(OneLeaf, st.binary(min_size=8, max_size=8)),
    st.builds(LeavesOf, st.sampled_from(BoardKind)),
)


@st.composite
def instructions(draw: st.DrawFn, slots: int, inputs: int, resources: tuple[Resource, ...]):  # type: ignore[no-untyped-def]
    """Straight code with forward skips in which every register is set before it is read."""
    count = draw(st.integers(0, 55))
    code = [Instruction(Op.LDI, r, draw(BYTES), draw(BYTES)) for r in range(REGISTERS)]
    allowed = [op for op in Op if op is not Op.RET and _possible(op, slots, inputs, resources)]
    ops = draw(st.lists(st.sampled_from(allowed), min_size=count, max_size=count))
    for index, op in enumerate(ops):
        left = count - index - 1
        values = [draw(_operand(role, slots, inputs, resources, left)) for role in ROLES[op]]
        if op is Op.JMP:
            values[0] = 0  # more would leave unreachable code behind it
        code.append(Instruction(op, *values))
    return [*code, Instruction(Op.RET)]


def _possible(op: Op, slots: int, inputs: int, resources: tuple[Resource, ...]) -> bool:
    roles = ROLES[op]
    return not (
        (Role.SLOT in roles and not slots)
        or (Role.INPUT_SLOT in roles and not inputs)
        or (Role.SOURCE in roles and not any(r.access.reads for r in resources))
        or (Role.SINK in roles and not any(r.access.writes for r in resources))
    )


def _operand(
    role: Role, slots: int, inputs: int, resources: tuple[Resource, ...], left: int
) -> st.SearchStrategy[int]:
    if role is Role.ZERO:
        return st.just(0)
    if role is Role.FREE:
        return BYTES
    if role is Role.SKIP:
        return st.integers(0, left)
    choices = {
        Role.SLOT: range(slots),
        Role.INPUT_SLOT: [slot for slot in range(slots) if inputs >> slot & 1],
        Role.SOURCE: [i for i, r in enumerate(resources) if r.access.reads],
        Role.SINK: [i for i, r in enumerate(resources) if r.access.writes],
    }.get(role, range(REGISTERS))
    return st.sampled_from(list(choices))


@st.composite
def rules(draw: st.DrawFn, resources: tuple[Resource, ...] = EVERYTHING):  # type: ignore[no-untyped-def]
    """Rules that the verifier accepts."""
    slots = draw(st.lists(NUMBERS, max_size=8))
    inputs = draw(st.integers(0, (1 << len(slots)) - 1))
    code = b"".join(each.encode() for each in draw(instructions(len(slots), inputs, resources)))
    return Rule(draw(triggers(resources)), tuple(slots), inputs, code, worst_case(code))


@st.composite
def triggers(draw: st.DrawFn, resources: tuple[Resource, ...]) -> Trigger:
    pins = [i for i, r in enumerate(resources) if r.kind is Class.GPIO and r.access.reads]
    lines = [i for i, r in enumerate(resources) if r.kind is Class.UART and r.access.reads]
    kinds: list[st.SearchStrategy[Trigger]] = [st.builds(Every, st.integers(10, 86_400_000))]
    if pins:
        kinds.append(st.builds(OnEdge, st.sampled_from(pins), st.sampled_from(Edge)))
    if lines:
        kinds.append(st.builds(OnLine, st.sampled_from(lines)))
    return draw(st.one_of(kinds))


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Programs that the verifier accepts on a board that has EVERYTHING."""
    made = draw(st.lists(rules(), min_size=1, max_size=4))
    return Program(draw(TARGETS), draw(st.integers(0, 2**32 - 1)), EVERYTHING, tuple(made))


__all__ = ["BINARY_OPS", "EVERYTHING", "NUMBERS", "instructions", "programs", "rules"]
