"""A rule, understood: typed expressions and statements, names resolved.

What `understand` makes from syntax and `generate` turns into instructions. Every expression has a
type; conversions are explicit nodes. Deliberately not here: syntax, registers.
"""

from __future__ import annotations

from enum import Enum

import attrs

from mesh.rules.isa import Op
from mesh.rules.program import Resource, Trigger


class Type(Enum):
    """What 32 bits mean."""

    INT = "int"
    FIXED = "fixed"
    """Q16.16."""
    BOOL = "bool"


@attrs.frozen
class Number:
    """A constant, as the bits of its type."""

    type: Type
    bits: int


@attrs.frozen
class Local:
    """A name that lives for one run."""

    type: Type
    name: str


@attrs.frozen
class Slot:
    """A parameter of the rule: keeps its value between runs."""

    type: Type
    index: int


@attrs.frozen
class Read:
    """What a resource reads now."""

    type: Type
    resource: Resource


@attrs.frozen
class Now:
    """Milliseconds since the program started."""

    type: Type = Type.INT


@attrs.frozen
class Binary:
    type: Type
    op: Op
    left: Expression
    right: Expression


@attrs.frozen
class Both:
    """`and`: the right side is only evaluated when the left is true."""

    left: Expression
    right: Expression
    type: Type = Type.BOOL


@attrs.frozen
class Either:
    """`or`: the right side is only evaluated when the left is false."""

    left: Expression
    right: Expression
    type: Type = Type.BOOL


@attrs.frozen
class Choice:
    """`a if condition else b`."""

    type: Type
    condition: Expression
    then: Expression
    otherwise: Expression


Expression = Number | Local | Slot | Read | Now | Binary | Both | Either | Choice


@attrs.frozen
class SetLocal:
    target: Local
    value: Expression


@attrs.frozen
class SetSlot:
    target: Slot
    value: Expression


@attrs.frozen
class Write:
    resource: Resource
    value: Expression


@attrs.frozen
class Emit:
    code: int
    value: Expression


@attrs.frozen
class Ask:
    """Ask the gateway; the answer arrives in the slot before some later run."""

    prompt: int
    value: Expression
    answer: Slot


@attrs.frozen
class If:
    condition: Expression
    then: tuple[Statement, ...]
    otherwise: tuple[Statement, ...]


@attrs.frozen
class Return:
    pass


Statement = SetLocal | SetSlot | Write | Emit | Ask | If | Return


@attrs.frozen
class RuleTree:
    """One rule of a file."""

    name: str
    line: int
    trigger: TriggerTree
    slot_names: tuple[str, ...]
    slots: tuple[Number, ...]
    body: tuple[Statement, ...]


@attrs.frozen
class TriggerTree:
    """When it runs; `resource` is the pin or port of triggers that have one (their index in
    `trigger` is filled in once the program's resources are counted)."""

    trigger: Trigger
    resource: Resource | None = None
