"""A rule file to a program: understand, generate, count resources, verify.

The compiler's output goes through the same verifier as anybody's bytes, so a mistake in the
compiler is found here and not on a board. Deliberately not here: signing (`signed`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import attrs

from mesh.rules.generate import TooBig, generate
from mesh.rules.isa import RESOURCES_MAX, encode
from mesh.rules.program import (
    Access,
    AnyLeaf,
    Every,
    Program,
    Resource,
    Rule,
    Target,
    Trigger,
)
from mesh.rules.resources import spell
from mesh.rules.source import Place, SourceError
from mesh.rules.tree import (
    Ask,
    Binary,
    Both,
    Choice,
    Either,
    Expression,
    If,
    Read,
    Return,
    RuleTree,
    Statement,
    Write,
)
from mesh.rules.understand import understand
from mesh.rules.verifier import Flaw, verify, worst_case


@attrs.frozen
class Compiled:
    """A program and what people call its parts."""

    program: Program
    rule_names: tuple[str, ...]
    slot_names: tuple[tuple[str, ...], ...]


def compile_rules(
    source: str,
    has: Callable[[Resource], bool],
    target: Target | None = None,
    counter: int = 0,
) -> Compiled:
    """Compile the text of a rule file. `has` says which resources the board has. Raises
    SourceError."""
    trees = understand(source)
    resources = _resources(trees, has)
    rules = tuple(_rule(tree, resources) for tree in trees)
    program = Program(target or AnyLeaf(), counter, tuple(resources.values()), rules)
    refusal = verify(program, has)
    if refusal is not None:
        line = trees[max(0, refusal.rule)].line
        if refusal.flaw is Flaw.RESOURCE:
            raise SourceError("one pin has two kinds of pull", Place(line, 0, 1))
        raise AssertionError(f"the compiler made what the verifier refuses: {refusal}")
    names = tuple(tree.name for tree in trees)
    return Compiled(program, names, tuple(tree.slot_names for tree in trees))


_Key = tuple[int, int, int]


def _key(resource: Resource) -> _Key:
    return (resource.kind.value, resource.channel, resource.param)


def _resources(trees: Sequence[RuleTree], has: Callable[[Resource], bool]) -> dict[_Key, Resource]:
    """What all rules touch, each once, with just the access they need."""
    found: dict[_Key, Resource] = {}
    for tree in trees:
        place = Place(tree.line, 0, 1)
        for resource, access in _touched(tree):
            known = found.get(_key(resource))
            bits = access.value | (known.access.value if known is not None else 0)
            found[_key(resource)] = attrs.evolve(resource, access=Access(bits))
            if not has(found[_key(resource)]):
                raise SourceError(f"the board has no {spell(resource)}", place)
        if len(found) > RESOURCES_MAX:
            raise SourceError(f"more than {RESOURCES_MAX} pins and buses", place)
    return found


def _touched(tree: RuleTree) -> Iterator[tuple[Resource, Access]]:
    if tree.trigger.resource is not None:
        yield tree.trigger.resource, Access.READ
    yield from _touched_by(tree.body)


def _touched_by(body: Iterable[Statement]) -> Iterator[tuple[Resource, Access]]:
    for statement in body:
        if isinstance(statement, If):
            yield from _read_by(statement.condition)
            yield from _touched_by(statement.then)
            yield from _touched_by(statement.otherwise)
        elif not isinstance(statement, Return):
            yield from _read_by(statement.value)
            if isinstance(statement, Write):
                yield statement.resource, Access.WRITE


def _read_by(value: Expression) -> Iterator[tuple[Resource, Access]]:
    if isinstance(value, Read):
        yield value.resource, Access.READ
    elif isinstance(value, Binary | Both | Either):
        yield from _read_by(value.left)
        yield from _read_by(value.right)
    elif isinstance(value, Choice):
        for part in (value.condition, value.then, value.otherwise):
            yield from _read_by(part)


def _rule(tree: RuleTree, resources: dict[_Key, Resource]) -> Rule:
    order = list(resources)

    def index_of(resource: Resource) -> int:
        return order.index(_key(resource))

    try:
        code = encode(generate(tree.body, index_of))
    except TooBig as error:
        hint = "split it into two rules"
        raise SourceError(f"{tree.name}: {error}", Place(tree.line, 0, 1), hint) from None
    trigger: Trigger = tree.trigger.trigger
    if tree.trigger.resource is not None:
        assert not isinstance(trigger, Every)
        trigger = attrs.evolve(trigger, resource=index_of(tree.trigger.resource))
    inputs = sum({1 << each.answer.index for each in _asks(tree.body)})
    return Rule(trigger, tuple(n.bits for n in tree.slots), inputs, code, worst_case(code))


def _asks(body: Iterable[Statement]) -> Iterator[Ask]:
    for statement in body:
        if isinstance(statement, Ask):
            yield statement
        elif isinstance(statement, If):
            yield from _asks(statement.then)
            yield from _asks(statement.otherwise)
