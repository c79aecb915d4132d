"""Variables of a build.ninja: scopes of files, bindings of rules and edges.

An edge looks a variable up in its own bindings, then in its rule (evaluated in the edge's own
scope), then in the file around it. Commands are evaluated after everything is parsed, with the
final values of the file's variables, as ninja does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import attrs

from mesh.errors import ProjectFileError
from mesh.planners.ninja.lexer import EvalString

_SAFE = re.compile(r"[A-Za-z0-9_+\-./]*")


@attrs.define(eq=False)
class Scope:
    """The variables and rules of a file, or of one edge (which has no rules)."""

    parent: Scope | None = None
    bindings: dict[str, str] = attrs.field(factory=dict)
    rules: dict[str, Rule] = attrs.field(factory=dict)

    def lookup(self, name: str) -> str:
        scope: Scope | None = self
        while scope is not None:
            value = scope.bindings.get(name)
            if value is not None:
                return value
            scope = scope.parent
        return ""

    def rule(self, name: str) -> Rule | None:
        scope: Scope | None = self
        while scope is not None:
            rule = scope.rules.get(name)
            if rule is not None:
                return rule
            scope = scope.parent
        return None


@attrs.frozen(eq=False)
class Rule:
    name: str
    bindings: Mapping[str, EvalString]


PHONY = Rule("phony", {})


@attrs.define(eq=False)
class Edge:
    """One `build` statement. Paths are canonical and relative to the build folder."""

    rule: Rule
    scope: Scope
    file: Path
    line: int
    outputs: tuple[str, ...] = ()
    explicit_outputs: int = 0
    """How many of `outputs` make up `$out`."""
    inputs: tuple[str, ...] = ()
    """What `$in` is made of."""
    implicit: tuple[str, ...] = ()
    order_only: tuple[str, ...] = ()
    validations: tuple[str, ...] = ()

    @property
    def is_phony(self) -> bool:
        return self.rule is PHONY

    @property
    def command(self) -> str:
        return self.binding("command")

    @property
    def logged_command(self) -> str:
        """The command with the content of its response file, as ninja hashes it."""
        content = self.binding("rspfile_content")
        return f"{self.command};rspfile={content}" if content else self.command

    def flag(self, name: str) -> bool:
        return bool(self.binding(name))

    def binding(self, name: str, *, escape: bool = True) -> str:
        """The value of a variable for this edge. `escape` quotes `$in` and `$out` for the shell;
        paths such as `depfile` want them as they are. Raises ProjectFileError for variables of a
        rule that refer to themselves."""
        return _Lookup(self, escape).value(name)


class _Lookup:
    def __init__(self, edge: Edge, escape: bool) -> None:
        self._edge = edge
        self._escape = escape
        self._active: list[str] = []

    def value(self, name: str) -> str:
        edge = self._edge
        if name == "in":
            return self._join(edge.inputs, " ")
        if name == "in_newline":
            return self._join(edge.inputs, "\n")
        if name == "out":
            return self._join(edge.outputs[: edge.explicit_outputs], " ")
        own = edge.scope.bindings.get(name)
        if own is not None:
            return own
        of_rule = edge.rule.bindings.get(name)
        if of_rule is not None:
            return self._of_rule(name, of_rule)
        return edge.scope.parent.lookup(name) if edge.scope.parent is not None else ""

    def _of_rule(self, name: str, text: EvalString) -> str:
        if name in self._active:
            circle = " -> ".join([*self._active[self._active.index(name) :], name])
            raise ProjectFileError(
                file=self._edge.file,
                line=self._edge.line,
                problem=f"variables of rule `{self._edge.rule.name}` need each other: {circle}",
                expected="variables without a circle",
            )
        self._active.append(name)
        try:
            return evaluate(text, self.value)
        finally:
            self._active.pop()

    def _join(self, paths: tuple[str, ...], separator: str) -> str:
        return separator.join(shell_quoted(path) if self._escape else path for path in paths)


def evaluate(text: EvalString, lookup: Callable[[str], str]) -> str:
    """The text with its variables replaced."""
    if len(text) == 1 and isinstance(text[0], str):
        return text[0]
    return "".join(part if isinstance(part, str) else lookup(part.name) for part in text)


def shell_quoted(path: str) -> str:
    """A path as ninja puts it into commands: its hash of the command depends on it."""
    if _SAFE.fullmatch(path):
        return path
    return "'" + path.replace("'", "'\\''") + "'"
