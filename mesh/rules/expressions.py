"""The expressions of the rule language: from Python syntax to typed trees.

Types: `int` (32 bits), `fixed` (Q16.16: written with a point, `0.1`), `bool`. Where an int meets a
fixed number it becomes fixed. All arithmetic saturates. `/` gives a fixed number; `//` and `%` are
for ints and go towards zero, which differs from Python for negative numbers; `int(...)` goes
towards zero as in Python. Constants are folded with the machine's own arithmetic. Deliberately not
here: statements, decorators (`understand`).
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import NoReturn, Protocol

from mesh.rules.isa import ARITHMETIC, FIXED_ONE, INT_MAX, INT_MIN, Op
from mesh.rules.program import Class, Resource
from mesh.rules.resources import CLASSES, READABLE
from mesh.rules.source import SourceError, place_of
from mesh.rules.tree import Binary, Both, Choice, Either, Expression, Now, Number, Read, Type

INT, FIXED, BOOL = Type.INT, Type.FIXED, Type.BOOL
_SUMS: dict[type, Op] = {ast.Add: Op.ADD, ast.Sub: Op.SUB}
_INT_ONLY: dict[type, Op] = {
    ast.FloorDiv: Op.DIV,
    ast.Mod: Op.MOD,
    ast.BitAnd: Op.AND,
    ast.BitOr: Op.OR,
    ast.BitXor: Op.XOR,
    ast.LShift: Op.SHL,
    ast.RShift: Op.SAR,
}
_COMPARISONS: dict[type, Op] = {
    ast.Lt: Op.LT,
    ast.LtE: Op.LE,
    ast.Eq: Op.EQ,
    ast.NotEq: Op.NE,
    ast.Gt: Op.GT,
    ast.GtE: Op.GE,
}
FUNCTIONS = ("abs", "min", "max", "int", "fixed", "bool", "now")


class Names(Protocol):
    """What names mean where the expression stands."""

    source: str

    def value_of(self, node: ast.Name) -> Expression:
        """Raises SourceError for a name that has no value here."""
        ...

    def resource_of(self, node: ast.expr, *, reading: bool) -> Resource | None:
        """The resource that an expression names, None if it names none."""
        ...


class Expressions:
    """Understands expressions against one set of names."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def wrong(self, node: ast.AST, text: str, hint: str = "") -> NoReturn:
        raise SourceError(text, place_of(node, self._names.source), hint)

    def understand(self, node: ast.expr) -> Expression:  # noqa: PLR0911 - one line per kind
        """The tree of an expression. Raises SourceError."""
        if isinstance(node, ast.Constant):
            return self._constant(node)
        if isinstance(node, ast.BinOp):
            return self._arithmetic(node)
        if isinstance(node, ast.UnaryOp):
            return self._unary(node)
        if isinstance(node, ast.Compare):
            return self._compare(node)
        if isinstance(node, ast.BoolOp):
            return self._logic(node)
        if isinstance(node, ast.IfExp):
            return self._choice(node)
        resource = self._names.resource_of(node, reading=True)
        if resource is not None:
            return self._read(node, resource)
        if isinstance(node, ast.Name):
            return self._names.value_of(node)
        if isinstance(node, ast.Call):
            return self._call(node)
        return self.wrong(
            node, "a rule cannot compute this", "docs/guide-rules.md lists what it can"
        )

    def condition(self, node: ast.expr) -> Expression:
        """An expression that must be true or false."""
        value = self.understand(node)
        if value.type is not BOOL:
            kind = value.type.value
            self.wrong(node, f"this is {kind}, but true or false is needed", "compare it: ... != 0")
        return value

    def number(self, node: ast.expr) -> Expression:
        value = self.understand(node)
        if value.type is BOOL:
            self.wrong(node, "a number is needed, this is true or false", "1 if ... else 0")
        return value

    def constant_int(self, node: ast.expr) -> int | None:
        """The number if the expression is a constant int, else None."""
        value = self.understand(node)
        return value.bits if isinstance(value, Number) and value.type is INT else None

    # -- constants -------------------------------------------------------------------------------
    def _constant(self, node: ast.Constant) -> Number:
        value = node.value
        if isinstance(value, bool):
            return Number(BOOL, int(value))
        if isinstance(value, int):
            if not INT_MIN <= value <= INT_MAX:
                self.wrong(node, f"whole numbers go from {INT_MIN} to {INT_MAX}")
            return Number(INT, value)
        if isinstance(value, float):
            bits = value * FIXED_ONE
            if not INT_MIN <= bits <= INT_MAX:
                self.wrong(node, "fixed numbers go from -32768 to 32767.99998")
            return Number(FIXED, round(bits))
        return self.wrong(node, "only numbers, True and False can be written in a rule")

    # -- operators -------------------------------------------------------------------------------
    def _arithmetic(self, node: ast.BinOp) -> Expression:
        left, right = self.number(node.left), self.number(node.right)
        kind = type(node.op)
        if kind in _SUMS:
            return _same(_SUMS[kind], left, right)
        if kind is ast.Mult:
            return _product(left, right)
        if kind is ast.Div:
            return _quotient(left, right)
        if kind in _INT_ONLY:
            if FIXED in (left.type, right.type):
                self.wrong(node, "this operator is for whole numbers", "int(...) makes one")
            return fold(INT, _INT_ONLY[kind], left, right)
        return self.wrong(node, "rules do not have this operator")

    def _unary(self, node: ast.UnaryOp) -> Expression:
        if isinstance(node.op, ast.Not):
            return fold(BOOL, Op.XOR, self.condition(node.operand), Number(BOOL, 1))
        operand = node.operand
        literal = operand.value if isinstance(operand, ast.Constant) else None
        if isinstance(node.op, ast.USub) and type(literal) is int and literal == -INT_MIN:
            return Number(INT, INT_MIN)  # the one number whose positive is too great
        value = self.number(operand)
        if isinstance(node.op, ast.USub):
            return fold(value.type, Op.SUB, Number(value.type, 0), value)
        if isinstance(node.op, ast.UAdd):
            return value
        if value.type is FIXED:
            self.wrong(node, "~ is for whole numbers")
        return fold(INT, Op.XOR, value, Number(INT, -1))

    def _compare(self, node: ast.Compare) -> Expression:
        if len(node.ops) != 1:
            self.wrong(node, "one comparison at a time", "a < b and b < c")
        op = _COMPARISONS.get(type(node.ops[0]))
        if op is None:
            self.wrong(node, "rules compare with < <= == != > >=")
        left, right = self.understand(node.left), self.understand(node.comparators[0])
        if (left.type is BOOL) != (right.type is BOOL):
            self.wrong(node, "a number cannot be compared with true or false")
        if left.type is BOOL and op not in (Op.EQ, Op.NE):
            self.wrong(node, "true and false are only equal or different")
        return fold(BOOL, op, *_alike(left, right))

    def _logic(self, node: ast.BoolOp) -> Expression:
        make: type[Both | Either] = Both if isinstance(node.op, ast.And) else Either
        value = self.condition(node.values[0])
        for each in node.values[1:]:
            value = make(value, self.condition(each))
        return value

    def _choice(self, node: ast.IfExp) -> Expression:
        condition = self.condition(node.test)
        then, otherwise = self.understand(node.body), self.understand(node.orelse)
        if (then.type is BOOL) != (otherwise.type is BOOL):
            self.wrong(node, "both values must be numbers, or both true or false")
        then, otherwise = _alike(then, otherwise)
        return Choice(then.type, condition, then, otherwise)

    # -- calls -----------------------------------------------------------------------------------
    def _read(self, node: ast.expr, resource: Resource) -> Expression:
        if resource.kind not in READABLE:
            self.wrong(node, f"{resource.kind.name.lower()} cannot be read")
        return Read(BOOL if resource.kind is Class.GPIO else INT, resource)

    def _call(self, node: ast.Call) -> Expression:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in FUNCTIONS:
            known = ", ".join(sorted([*FUNCTIONS, *CLASSES]))
            self.wrong(node.func, "rules do not have this function", f"there are {known}")
        if node.keywords:
            self.wrong(node, f"{name} takes no named arguments")
        handler: Callable[[ast.Call], Expression] = getattr(self, f"_call_{name}")
        return handler(node)

    def _arguments(self, node: ast.Call, count: int) -> list[ast.expr]:
        if len(node.args) != count:
            self.wrong(node, f"{count} argument{'s' * (count != 1)} expected, not {len(node.args)}")
        return node.args

    def _call_now(self, node: ast.Call) -> Expression:
        self._arguments(node, 0)
        return Now()

    def _call_int(self, node: ast.Call) -> Expression:
        value = self.understand(self._arguments(node, 1)[0])
        if value.type is FIXED:
            return fold(INT, Op.DIV, value, Number(INT, FIXED_ONE))
        return value if value.type is INT else retyped(value, INT)

    def _call_fixed(self, node: ast.Call) -> Expression:
        return to_fixed(self.number(self._arguments(node, 1)[0]))

    def _call_bool(self, node: ast.Call) -> Expression:
        value = self.understand(self._arguments(node, 1)[0])
        return value if value.type is BOOL else fold(BOOL, Op.NE, value, Number(value.type, 0))

    def _call_abs(self, node: ast.Call) -> Expression:
        argument = self._arguments(node, 1)[0]
        value = self.number(argument)
        if not isinstance(value, Number) and not isinstance(argument, ast.Name):
            self.wrong(argument, "abs is for a name or a constant", "give the value a name first")
        return fold(
            value.type, Op.MAX, value, fold(value.type, Op.SUB, Number(value.type, 0), value)
        )

    def _call_min(self, node: ast.Call) -> Expression:
        return self._extreme(node, Op.MIN)

    def _call_max(self, node: ast.Call) -> Expression:
        return self._extreme(node, Op.MAX)

    def _extreme(self, node: ast.Call, op: Op) -> Expression:
        if len(node.args) < 2:
            self.wrong(node, "at least two arguments expected")
        value = self.number(node.args[0])
        for each in node.args[1:]:
            value = _same(op, value, self.number(each))
        return value


# -- types ---------------------------------------------------------------------------------------
def fold(kind: Type, op: Op, left: Expression, right: Expression) -> Expression:
    """The operation, or its result when both sides are constants."""
    if isinstance(left, Number) and isinstance(right, Number):
        return Number(kind, ARITHMETIC[op](left.bits, right.bits))
    return Binary(kind, op, left, right)


def to_fixed(value: Expression) -> Expression:
    return value if value.type is FIXED else fold(FIXED, Op.MUL, value, Number(INT, FIXED_ONE))


def retyped(value: Expression, kind: Type) -> Expression:
    """The same bits as another type."""
    if isinstance(value, Number):
        return Number(kind, value.bits)
    return Binary(kind, Op.OR, value, Number(kind, 0))


def _alike(left: Expression, right: Expression) -> tuple[Expression, Expression]:
    return (to_fixed(left), to_fixed(right)) if FIXED in (left.type, right.type) else (left, right)


def _same(op: Op, left: Expression, right: Expression) -> Expression:
    left, right = _alike(left, right)
    return fold(left.type, op, left, right)


def _product(left: Expression, right: Expression) -> Expression:
    if left.type is right.type is FIXED:
        return fold(FIXED, Op.MLQ, left, right)
    return fold(FIXED if FIXED in (left.type, right.type) else INT, Op.MUL, left, right)


def _quotient(left: Expression, right: Expression) -> Expression:
    if left.type is FIXED and right.type is INT:
        return fold(FIXED, Op.DIV, left, right)
    if right.type is FIXED:
        left = to_fixed(left)
    return fold(FIXED, Op.DVQ, left, right)
