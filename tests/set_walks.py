"""Finds where code goes through a set in the set's own order, as far as its text tells.

What is taken for a set: literals, comprehensions, calls of `set` and `frozenset`, operations
(`|&-^`) on sets and on views of dicts, and what is annotated or assigned so: names, parameters,
attributes, results of functions, values of dicts. Names are known by function; attributes and
functions by their name alone, over all files, when every declaration of that name says set.
Order does not show in `sorted`, `len`, `in`, `any`, `all`, `sum`, another set, nor in `min` and
`max` without a key (with one, ties would show it).

Deliberately not here: which walks are allowed (`test_leaks`). Not seen: sets that go through
untyped containers, values of tuples, and functions that are passed along.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator

SETS = ("set", "frozenset", "AbstractSet", "MutableSet", "abc.Set", "Set")
DICTS = ("dict", "defaultdict", "Mapping", "MutableMapping", "OrderedDict")
MAKERS = {"set", "frozenset"}
SET_METHODS = {"union", "intersection", "difference", "symmetric_difference"}
ORDER_FREE = {"sorted", "set", "frozenset", "any", "all", "sum", "min", "max", "len"}
IN_ORDER = {
    "list",
    "tuple",
    "iter",
    "enumerate",
    "next",
    "dict",
    "reversed",
    "zip",
    "map",
    "filter",
}
IN_ORDER |= {"deque", "Counter", "OrderedDict", "bytes", "bytearray", "chain", "starmap"}
IN_ORDER_METHODS = {"extend", "join", "fromkeys", "extendleft", "from_iterable"}
OPERATIONS = (ast.BitOr, ast.BitAnd, ast.Sub, ast.BitXor)
Function = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
OTHER, SET, OF_SETS = "other", "set", "dict of sets"


def kind_of(annotation: ast.expr | None) -> str:
    """What an annotation says: SET, OF_SETS (a dict whose values are sets) or OTHER."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        annotation = ast.parse(annotation.value, mode="eval").body
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        sides = {kind_of(annotation.left), kind_of(annotation.right)} - {OTHER}
        return sides.pop() if len(sides) == 1 else OTHER
    if annotation is None:
        return OTHER
    outer = annotation.value if isinstance(annotation, ast.Subscript) else annotation
    name = ast.unparse(outer).removeprefix("attrs.").removeprefix("typing.")
    if name in SETS:
        return SET
    if name in DICTS and isinstance(annotation, ast.Subscript):
        inner = annotation.slice
        if isinstance(inner, ast.Tuple) and kind_of(inner.elts[-1]) == SET:
            return OF_SETS
    if name in ("Final", "ClassVar") and isinstance(annotation, ast.Subscript):
        return kind_of(annotation.slice)
    return OTHER


class Declared:
    """What attributes and functions of all files are, by name."""

    def __init__(self, trees: Iterable[ast.Module]) -> None:
        self._attributes: dict[str, set[str]] = defaultdict(set)
        self._results: dict[str, set[str]] = defaultdict(set)
        for tree in trees:
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef):
                    self._declare(node)
                elif isinstance(node, FUNCTIONS):
                    into = self._attributes if _is_property(node) else self._results
                    into[node.name].add(kind_of(node.returns))

    def _declare(self, made: ast.ClassDef) -> None:
        own: dict[str, set[str]] = defaultdict(set)
        for node in ast.walk(made):
            if isinstance(node, ast.AnnAssign):
                own[_attribute(node.target)].add(kind_of(node.annotation))
            elif isinstance(node, ast.Assign):
                for target in node.targets:
                    if _attribute(target).startswith("self."):
                        own[_attribute(target)].add(SET if _is_plain(node.value) else OTHER)
        in_body = {_attribute(n.target) for n in made.body if isinstance(n, ast.AnnAssign)}
        for name, kinds in own.items():
            if name.startswith("self.") or name in in_body:
                said = kinds - {OTHER} or kinds  # an annotation says more than what is assigned
                self._attributes[name.removeprefix("self.")] |= said

    def attribute(self, name: str) -> str:
        return _only(self._attributes.get(name, set()))

    def result(self, name: str) -> str:
        return _only(self._results.get(name, set()))


def _only(kinds: set[str]) -> str:
    return min(kinds) if len(kinds) == 1 else OTHER


def _is_property(node: Function) -> bool:
    return any("property" in ast.unparse(each) for each in node.decorator_list)


def _attribute(node: ast.expr) -> str:
    """`self.x` -> "self.x", `x` -> "x", anything else nothing."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"self.{node.attr}" if node.value.id == "self" else ""
    return node.id if isinstance(node, ast.Name) else ""


def _is_plain(node: ast.expr) -> bool:
    """Whether it is a set for everybody to see."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id in MAKERS
    return isinstance(node, ast.Set | ast.SetComp)


class Scope:
    """One function (or the body of a module), and what its names are."""

    def __init__(self, node: ast.AST, declared: Declared, outer: Scope | None = None) -> None:
        self.node = node
        self._declared = declared
        self._outer = outer
        self._names: dict[str, str] = {}
        if isinstance(node, FUNCTIONS):
            arguments = node.args
            for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
                self._names[each.arg] = kind_of(each.annotation)
        self._learn()
        self._learn()  # of what is assigned from what is assigned further down

    def own(self) -> Iterator[ast.AST]:
        """Its nodes, without those of functions and classes in it."""
        waiting = list(ast.iter_child_nodes(self.node))
        while waiting:
            node = waiting.pop()
            yield node
            if not isinstance(node, (*FUNCTIONS, ast.ClassDef)):
                waiting.extend(ast.iter_child_nodes(node))

    def _learn(self) -> None:
        for node in self.own():
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    self._bind(target, self.kind(node.value))
            elif isinstance(node, ast.NamedExpr):
                self._bind(node.target, self.kind(node.value))
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                self._names[node.target.id] = kind_of(node.annotation)
            elif isinstance(node, ast.For | ast.AsyncFor | ast.comprehension):
                self._bind_walked(node.target, node.iter)

    def _bind(self, target: ast.expr, kind: str) -> None:
        if isinstance(target, ast.Name) and kind != OTHER:
            self._names[target.id] = kind

    def _bind_walked(self, target: ast.expr, walked: ast.expr) -> None:
        """The values of a dict of sets."""
        if not (isinstance(walked, ast.Call) and isinstance(walked.func, ast.Attribute)):
            return
        if self.kind(walked.func.value) != OF_SETS:
            return
        if walked.func.attr == "values":
            self._bind(target, SET)
        elif walked.func.attr == "items" and isinstance(target, ast.Tuple):
            self._bind(target.elts[-1], SET)

    def name(self, name: str) -> str:
        if name in self._names:
            return self._names[name]
        return self._outer.name(name) if self._outer is not None else OTHER

    def is_set(self, node: ast.expr) -> bool:
        return self.kind(node) == SET

    def kind(self, node: ast.expr) -> str:  # noqa: PLR0911 - one for each form
        match node:
            case ast.Set() | ast.SetComp():
                return SET
            case ast.Name():
                return self.name(node.id)
            case ast.Attribute():
                return self._declared.attribute(node.attr)
            case ast.Subscript():
                return SET if self.kind(node.value) == OF_SETS else OTHER
            case ast.BinOp() if isinstance(node.op, OPERATIONS):
                return self._operation(node)
            case ast.IfExp():
                return self._either(node.body, node.orelse)
            case ast.BoolOp():
                return self._either(*node.values)
            case ast.NamedExpr() | ast.Await():
                return self.kind(node.value)
            case ast.Call():
                return self._call(node)
        return OTHER

    def _either(self, *nodes: ast.expr) -> str:
        return SET if any(map(self.is_set, nodes)) else OTHER

    def _operation(self, node: ast.BinOp) -> str:
        left = self.is_set(node.left) or _is_view(node.left)
        right = self.is_set(node.right) or _is_view(node.right)
        is_one = left if isinstance(node.op, ast.Sub) else left or right
        return SET if is_one else OTHER

    def _call(self, node: ast.Call) -> str:
        function = node.func
        if isinstance(function, ast.Name):
            return SET if function.id in MAKERS else self._declared.result(function.id)
        if not isinstance(function, ast.Attribute):
            return OTHER
        if function.attr in (*SET_METHODS, "copy") and self.is_set(function.value):
            return SET
        if function.attr in ("get", "pop", "setdefault"):
            return SET if self.kind(function.value) == OF_SETS else OTHER
        return self._declared.result(function.attr)


def _is_view(node: ast.expr) -> bool:
    """`x.keys()`, `x.items()`."""
    is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    return is_call and node.func.attr in ("keys", "items")  # type: ignore[attr-defined]


def set_walks(tree: ast.Module, declared: Declared) -> list[tuple[int, str]]:
    """(line, what is gone through), in order, each once."""
    seen: set[tuple[int, str]] = set()
    waiting = [Scope(tree, declared)]
    while waiting:
        scope = waiting.pop()
        free = {id(each) for node in scope.own() for each in _order_free(scope, node)}
        for node in scope.own():
            if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
                waiting.append(Scope(node, declared, scope))
            if id(node) not in free:
                for walked in _walked(scope, node):
                    if scope.is_set(walked):
                        seen.add((walked.lineno, ast.unparse(walked)))
    return sorted(seen)


def _order_free(scope: Scope, node: ast.AST) -> Iterator[ast.expr]:
    """Comprehensions whose order goes nowhere."""
    if isinstance(node, ast.Call):
        function = node.func
        by_name = isinstance(function, ast.Name) and function.id in ORDER_FREE
        if by_name and not _breaks_ties(node):
            yield from _within(*node.args)
        into_set = isinstance(function, ast.Attribute) and scope.is_set(function.value)
        if into_set:
            yield from _within(*node.args)
    elif isinstance(node, ast.Set):
        yield from _within(*node.elts)
    elif isinstance(node, ast.Compare):
        for operator, side in zip(node.ops, node.comparators, strict=True):
            if isinstance(operator, ast.In | ast.NotIn):
                yield side


def _within(*nodes: ast.expr) -> Iterator[ast.expr]:
    """These, and what is only unpacked into them."""
    for node in nodes:
        yield node
        if isinstance(node, ast.Starred):
            yield from _within(node.value)
        elif isinstance(node, ast.List | ast.Tuple):
            yield from _within(*node.elts)


def _breaks_ties(node: ast.Call) -> bool:
    """`min` or `max` with a key: of several that are equal the first is taken."""
    is_pick = isinstance(node.func, ast.Name) and node.func.id in ("min", "max")
    return is_pick and any(each.arg == "key" for each in node.keywords)


def _walked(scope: Scope, node: ast.AST) -> Iterator[ast.expr]:
    """Expressions whose order of iteration shows."""
    match node:
        case ast.For() | ast.AsyncFor():
            yield node.iter
        case ast.ListComp() | ast.DictComp() | ast.GeneratorExp():
            yield from (each.iter for each in node.generators)
        case ast.List() | ast.Tuple():
            yield from (each.value for each in node.elts if isinstance(each, ast.Starred))
        case ast.YieldFrom():
            yield node.value
        case ast.Assign() if isinstance(node.targets[0], ast.Tuple | ast.List):
            if len(node.targets[0].elts) > 1:
                yield node.value
        case ast.Call():
            yield from _walked_by_call(scope, node)


def _walked_by_call(scope: Scope, node: ast.Call) -> Iterator[ast.expr]:
    yield from (each.value for each in node.args if isinstance(each, ast.Starred))
    function = node.func
    if isinstance(function, ast.Name) and (function.id in IN_ORDER or _breaks_ties(node)):
        yield from node.args
    elif isinstance(function, ast.Attribute):
        if function.attr in IN_ORDER_METHODS:
            yield from node.args
        elif function.attr == "pop" and not node.args:
            yield function.value  # any one of them
