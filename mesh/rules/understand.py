"""A rule file, from text to trees: constants, names of pins, rules and their statements.

    LIMIT = 80.0
    relay = gpio(5)

    @every("1s")
    def thermostat(was_hot: bool = False):      # parameters keep their values between runs
        hot = adc(0) * 0.1 > LIMIT
        relay.set(hot)
        if hot and not was_hot:
            emit(1, adc(0))
        was_hot = hot

The text is read with `ast` and never executed. Deliberately not here: expressions (`expressions`),
what a board has (`boards`), instructions (`generate`).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from fractions import Fraction
from typing import NoReturn

from mesh.rules.expressions import FIXED, FUNCTIONS, INT, Expressions, to_fixed
from mesh.rules.isa import RULES_MAX, SLOTS_MAX
from mesh.rules.program import (
    PERIOD_MAX_MS,
    PERIOD_MIN_MS,
    Class,
    Edge,
    Every,
    OnEdge,
    OnLine,
    Resource,
)
from mesh.rules.resources import CLASSES, WRITABLE, parse_resource
from mesh.rules.source import Place, SourceError, place_of
from mesh.rules.tree import (
    Ask,
    Emit,
    Expression,
    If,
    Local,
    Number,
    Return,
    RuleTree,
    SetLocal,
    SetSlot,
    Slot,
    Statement,
    TriggerTree,
    Type,
    Write,
)

SOURCE_BYTES_MAX = 65_536
CODES_MAX = 255
_DURATION = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)\s*(ms|s|m|h)")
_UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
_TRIGGERS = '@every("1s"), @on_edge(gpio(3), "rising"), @on_line(uart(1))'
_RESERVED = {*FUNCTIONS, *CLASSES, "emit", "ask", "every", "on_edge", "on_line"}


def understand(source: str) -> tuple[RuleTree, ...]:
    """The rules of a file, in order. Raises SourceError."""
    if len(source.encode()) > SOURCE_BYTES_MAX:
        raise SourceError(f"a rule file has at most {SOURCE_BYTES_MAX} bytes", Place(1, 0, 1))
    try:
        module = ast.parse(source)
    except SyntaxError as error:
        place = Place(error.lineno or 1, max(0, (error.offset or 1) - 1), error.end_offset or 0)
        raise SourceError(str(error.msg), place) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise SourceError(str(error) or "nested too deeply", Place(1, 0, 1)) from None
    try:
        return _File(source).understand(module)
    except RecursionError:
        raise SourceError("nested too deeply", Place(1, 0, 1)) from None


class _File:
    """Names of the whole file."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.constants: dict[str, Number] = {}
        self.resources: dict[str, Resource] = {}

    def wrong(self, node: ast.AST, text: str, hint: str = "") -> NoReturn:
        raise SourceError(text, place_of(node, self.source), hint)

    def understand(self, module: ast.Module) -> tuple[RuleTree, ...]:
        rules: list[RuleTree] = []
        for node in module.body:
            if isinstance(node, ast.FunctionDef):
                rules.append(_Rule(self).understand(node))
                if len(rules) > RULES_MAX:
                    self.wrong(node, f"a program has at most {RULES_MAX} rules")
                if any(each.name == node.name for each in rules[:-1]):
                    self.wrong(node, f"there is a rule {node.name} already")
            elif isinstance(node, ast.Assign) and len(node.targets) == 1:
                self._name(node.targets[0], node.value)
            elif not _is_docstring(node):
                self.wrong(node, "a rule file has constants, names of pins, and rules", _TRIGGERS)
        if not rules:
            raise SourceError("there is no rule in the file", Place(1, 0, 1), _TRIGGERS)
        return tuple(rules)

    def _name(self, target: ast.expr, value: ast.expr) -> None:
        if not isinstance(target, ast.Name):
            self.wrong(target, "a name is expected here")
        self.require_new(target, target.id)
        resource = self.resource_of(value, reading=False)
        if resource is not None:
            self.resources[target.id] = resource
            return
        constant = Expressions(self).understand(value)
        if not isinstance(constant, Number):
            self.wrong(value, "outside of rules there are only constants and names of pins")
        self.constants[target.id] = constant

    def require_new(self, node: ast.AST, name: str) -> None:
        if name in _RESERVED:
            self.wrong(node, f"{name} has a meaning already")
        if name in self.constants or name in self.resources:
            self.wrong(node, f"{name} is named above already")

    # -- Names -----------------------------------------------------------------------------------
    def value_of(self, node: ast.Name) -> Expression:
        if node.id in self.constants:
            return self.constants[node.id]
        return self.wrong(node, f"{node.id} has no value here")

    def resource_of(self, node: ast.expr, *, reading: bool) -> Resource | None:
        """`gpio(5)`, a name for it, or (reading) `.read()` of either."""
        if isinstance(node, ast.Name):
            return self.resources.get(node.id)
        if not isinstance(node, ast.Call):
            return None
        if isinstance(node.func, ast.Name) and node.func.id in CLASSES:
            constant = Expressions(self).constant_int
            return parse_resource(node, self.source, constant)
        if reading and isinstance(node.func, ast.Attribute) and node.func.attr == "read":
            if node.args or node.keywords:
                self.wrong(node, "read takes no arguments")
            return self.resource_of(node.func.value, reading=False)
        return None


class _Rule:
    """One function of the file."""

    def __init__(self, file: _File) -> None:
        self._file = file
        self.source = file.source
        self._expressions = Expressions(self)
        self._slots: dict[str, Slot] = {}
        self._types: dict[str, Type] = {}
        self._set: set[str] = set()
        """Local names that have a value on every way to the present statement."""

    def wrong(self, node: ast.AST, text: str, hint: str = "") -> NoReturn:
        raise SourceError(text, place_of(node, self.source), hint)

    def understand(self, node: ast.FunctionDef) -> RuleTree:
        trigger = self._trigger(node)
        starts = self._parameters(node.args)
        body = node.body[1:] if _is_docstring(node.body[0]) else node.body
        statements, _ = self._block(body)
        return RuleTree(
            node.name, node.lineno, trigger, tuple(self._slots), tuple(starts), statements
        )

    # -- Names -----------------------------------------------------------------------------------
    def value_of(self, node: ast.Name) -> Expression:
        name = node.id
        if name in self._slots:
            return self._slots[name]
        if name in self._set:
            return Local(self._types[name], name)
        if name in self._types:
            self.wrong(node, f"{name} may have no value here", "give it one before the if")
        return self._file.value_of(node)

    def resource_of(self, node: ast.expr, *, reading: bool) -> Resource | None:
        return self._file.resource_of(node, reading=reading)

    # -- the head --------------------------------------------------------------------------------
    def _trigger(self, node: ast.FunctionDef) -> TriggerTree:
        if len(node.decorator_list) != 1:
            self.wrong(node, f"{node.name} needs one line that says when it runs", _TRIGGERS)
        call = node.decorator_list[0]
        name = (
            call.func.id if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) else ""
        )
        assert isinstance(call, ast.Call) or not name
        if isinstance(call, ast.Call) and not call.keywords:
            if name == "every" and len(call.args) == 1:
                return TriggerTree(Every(self._period_ms(call.args[0])))
            if name == "on_edge" and len(call.args) == 2:
                pin = self._trigger_resource(call.args[0], Class.GPIO)
                return TriggerTree(OnEdge(0, self._edge(call.args[1])), pin)
            if name == "on_line" and len(call.args) == 1:
                return TriggerTree(OnLine(0), self._trigger_resource(call.args[0], Class.UART))
        return self.wrong(call, "this does not say when the rule runs", _TRIGGERS)

    def _period_ms(self, node: ast.expr) -> int:
        text = node.value if isinstance(node, ast.Constant) else None
        match = _DURATION.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            self.wrong(node, "a time with its unit is expected", '"250ms", "1s", "5m", "24h"')
        period_ms = Fraction(match[1]) * _UNIT_MS[match[2]]
        if not PERIOD_MIN_MS <= period_ms <= PERIOD_MAX_MS or period_ms.denominator != 1:
            self.wrong(node, f"whole milliseconds from {PERIOD_MIN_MS}ms to 24h are possible")
        return int(period_ms)

    def _trigger_resource(self, node: ast.expr, kind: Class) -> Resource:
        resource = self.resource_of(node, reading=False)
        if resource is None or resource.kind is not kind:
            self.wrong(node, f"a {kind.name.lower()} is expected here")
        return resource

    def _edge(self, node: ast.expr) -> Edge:
        text = node.value if isinstance(node, ast.Constant) else None
        if not isinstance(text, str) or text.upper() not in Edge.__members__:
            self.wrong(node, 'the edge is "rising", "falling" or "both"')
        return Edge[text.upper()]

    def _parameters(self, arguments: ast.arguments) -> list[Number]:
        odd = [*arguments.posonlyargs, *arguments.kwonlyargs]
        odd += [each for each in (arguments.vararg, arguments.kwarg) if each is not None]
        if odd:
            self.wrong(odd[0], "parameters of rules are plain: name: type = first value")
        if len(arguments.defaults) != len(arguments.args):
            self.wrong(arguments.args[0], "each parameter needs its first value", "count: int = 0")
        if len(arguments.args) > SLOTS_MAX:
            self.wrong(arguments.args[SLOTS_MAX], f"a rule keeps at most {SLOTS_MAX} values")
        return [
            self._parameter(argument, default, index)
            for index, (argument, default) in enumerate(
                zip(arguments.args, arguments.defaults, strict=True)
            )
        ]

    def _parameter(self, argument: ast.arg, default: ast.expr, index: int) -> Number:
        self._file.require_new(argument, argument.arg)
        value = self._expressions.understand(default)
        note = argument.annotation
        if note is not None:
            if not isinstance(note, ast.Name) or note.id not in {each.value for each in Type}:
                self.wrong(note, "the type is int, fixed or bool")
            if note.id == "fixed" and value.type is INT:
                value = to_fixed(value)
            elif note.id != value.type.value:
                self.wrong(default, f"this is {value.type.value}, not {note.id}")
        if not isinstance(value, Number):
            self.wrong(default, "the first value must be a constant")
        if argument.arg in self._slots:
            self.wrong(argument, f"{argument.arg} is a parameter already")
        self._slots[argument.arg] = Slot(value.type, index)
        return value

    # -- statements ------------------------------------------------------------------------------
    def _block(self, body: Sequence[ast.stmt]) -> tuple[tuple[Statement, ...], bool]:
        """The statements, and whether every way through them ends the run."""
        made: list[Statement] = []
        ended = False
        for node in body:
            if ended:
                self.wrong(node, "this is never reached")
            if not isinstance(node, ast.Pass):
                statement, ended = self._statement(node)
                made.append(statement)
        return tuple(made), ended

    def _statement(  # noqa: PLR0911 - one line per kind
        self, node: ast.stmt
    ) -> tuple[Statement, bool]:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            return self._assign(node.targets[0], node.value), False
        if isinstance(node, ast.AnnAssign) and node.value is not None:
            return self._assign(node.target, node.value), False
        if isinstance(node, ast.AugAssign):
            left = ast.copy_location(_as_load(node.target), node.target)
            whole = ast.copy_location(ast.BinOp(left, node.op, node.value), node)
            return self._assign(node.target, whole), False
        if isinstance(node, ast.If):
            return self._if(node)
        if isinstance(node, ast.Return):
            if node.value is not None:
                self.wrong(node.value, "a rule returns nothing")
            return Return(), True
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            return self._action(node.value), False
        if isinstance(node, ast.For | ast.While):
            self.wrong(node, "rules have no loops, so that they always end", "@every runs it again")
        return self.wrong(node, "a rule cannot do this", "docs/guide-rules.md lists what it can")

    def _assign(self, target: ast.expr, value: ast.expr) -> Statement:
        if not isinstance(target, ast.Name):
            self.wrong(target, "a name is expected here", "relay.set(...) writes to a pin")
        understood = self._expressions.understand(value)
        slot = self._slots.get(target.id)
        if slot is not None:
            return SetSlot(slot, self._fitting(value, understood, slot.type))
        known = self._types.get(target.id)
        if known is None:
            self._file.require_new(target, target.id)
            known = self._types[target.id] = understood.type
        self._set.add(target.id)
        return SetLocal(Local(known, target.id), self._fitting(value, understood, known))

    def _fitting(self, node: ast.expr, value: Expression, wanted: Type) -> Expression:
        if value.type is wanted:
            return value
        if wanted is FIXED and value.type is INT:
            return to_fixed(value)
        hint = "int(...) cuts it" if wanted is INT and value.type is FIXED else ""
        return self.wrong(node, f"this is {value.type.value}, not {wanted.value}", hint)

    def _if(self, node: ast.If) -> tuple[Statement, bool]:
        condition = self._expressions.condition(node.test)
        before = set(self._set)
        then, then_ends = self._block(node.body)
        after_then = self._set
        self._set = set(before)
        otherwise, else_ends = self._block(node.orelse)
        after_else = self._set
        if then_ends or else_ends:
            self._set = after_else if then_ends else after_then
        else:
            self._set = after_then & after_else
        return If(condition, then, otherwise), then_ends and else_ends

    # -- actions ---------------------------------------------------------------------------------
    def _action(self, call: ast.Call) -> Statement:
        function = call.func
        if isinstance(function, ast.Attribute) and function.attr in ("set", "write"):
            return self._write(call, function.value)
        if isinstance(function, ast.Name) and function.id == "emit":
            code, value = self._exactly(call, 2)
            return Emit(self._code(code), self._plain(value))
        if isinstance(function, ast.Name) and function.id == "ask":
            return self._ask(call)
        return self.wrong(call, "this has no effect", "pin.set(...), emit(...), ask(...)")

    def _exactly(self, call: ast.Call, count: int) -> list[ast.expr]:
        if len(call.args) != count:
            self.wrong(call, f"{count} argument{'s' * (count != 1)} expected, not {len(call.args)}")
        return call.args

    def _code(self, node: ast.expr) -> int:
        code = self._expressions.constant_int(node)
        if code is None or not 0 <= code <= CODES_MAX:
            self.wrong(node, f"a whole number from 0 to {CODES_MAX} must be written here")
        return code

    def _plain(self, node: ast.expr) -> Expression:
        """Any value; events carry its bits."""
        return self._expressions.understand(node)

    def _write(self, call: ast.Call, target: ast.expr) -> Statement:
        resource = self.resource_of(target, reading=False)
        if resource is None:
            self.wrong(target, "a pin or a bus is expected here", "gpio(5).set(...)")
        if resource.kind not in WRITABLE:
            self.wrong(target, f"{resource.kind.name.lower()} cannot be written")
        (argument,) = self._exactly(call, 1)
        value = self._expressions.understand(argument)
        if resource.kind is Class.GPIO and value.type is FIXED:
            self.wrong(argument, "a pin is high or low", "compare the number with a limit")
        if resource.kind is not Class.GPIO and value.type is not INT:
            self.wrong(argument, "a whole number is written here", "int(...) makes one")
        return Write(resource, value)

    def _ask(self, call: ast.Call) -> Statement:
        into = [each.value for each in call.keywords if each.arg == "into"]
        name = into[0].id if len(into) == 1 and isinstance(into[0], ast.Name) else ""
        if name not in self._slots or len(call.keywords) != 1:
            self.wrong(
                call, "into= names the parameter for the answer", "ask(1, value, into=answer)"
            )
        prompt, value = self._exactly(call, 2)
        return Ask(self._code(prompt), self._plain(value), self._slots[name])


def _is_docstring(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _as_load(target: ast.expr) -> ast.expr:
    return ast.Name(target.id, ast.Load()) if isinstance(target, ast.Name) else target
