"""A program as text that a person can read: resources, slots, instructions with their meaning.

    for line in disassemble(program, names): ...

Deliberately not here: reading files, colours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mesh.rules.isa import FIXED_ONE, Instruction, Op, Role
from mesh.rules.program import (
    Access,
    AnyLeaf,
    Every,
    OnEdge,
    OneLeaf,
    Program,
    Rule,
    Target,
)
from mesh.rules.resources import spell
from mesh.rules.verifier import decode

_ACCESS = {Access.READ: "read", Access.WRITE: "write", Access.BOTH: "read, write"}


def disassemble(program: Program, names: Sequence[str] = ()) -> Iterator[str]:
    """Lines, without their ends. `names` are those of the rules, as far as they are known."""
    yield f"target {spell_target(program.target)}, counter {program.counter}"
    for index, resource in enumerate(program.resources):
        yield f"resource {index}: {spell(resource)}, {_ACCESS[resource.access]}"
    for index, rule in enumerate(program.rules):
        name = names[index] if index < len(names) else ""
        yield ""
        head = f"rule {index} {name}".rstrip()
        yield f"{head}: {when(program, rule)}, worst {rule.worst}"
        for slot, value in enumerate(rule.slots):
            note = ", written from outside" if rule.inputs >> slot & 1 else ""
            yield f"  slot {slot} = {value}{note}"
        for at, instruction in enumerate(decode(rule.code)):
            yield f"  {at:3}  {_text(program, instruction, at)}"


def spell_target(target: Target) -> str:
    """Who a program is for, in a word or two."""
    if isinstance(target, AnyLeaf):
        return "any leaf"
    return target.prefix.hex() if isinstance(target, OneLeaf) else target.board.name.lower()


def when(program: Program, rule: Rule) -> str:
    """What makes a rule run, for people."""
    trigger = rule.trigger
    if isinstance(trigger, Every):
        return f"every {trigger.period_ms} ms"
    what = spell(program.resources[trigger.resource])
    if isinstance(trigger, OnEdge):
        return f"on {trigger.edge.name.lower()} edge of {what}"
    return f"on line of {what}"


def _text(program: Program, instruction: Instruction, at: int) -> str:
    op = instruction.op
    if op in (Op.LDI, Op.LDH):
        return f"{op.name} r{instruction.a}, {instruction.immediate}"
    parts = []
    for role, value in instruction.operands():
        if role in (Role.SETS, Role.READS, Role.CHANGES):
            parts.append(f"r{value}")
        elif role in (Role.SLOT, Role.INPUT_SLOT):
            parts.append(f"slot {value}")
        elif role in (Role.SOURCE, Role.SINK):
            parts.append(spell(program.resources[value]))
        elif role is Role.SKIP:
            parts.append(f"-> {at + 1 + value}")
        elif role is Role.FREE:
            parts.append(str(value))
    return f"{op.name} {', '.join(parts)}".rstrip()


def as_fixed(bits: int) -> str:
    """A fixed number for people."""
    return f"{bits / FIXED_ONE:.5f}".rstrip("0").rstrip(".")
