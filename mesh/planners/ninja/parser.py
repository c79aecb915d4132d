"""Parses a build.ninja and what it includes into a Manifest.

Everything of the language is read: variables and scopes, rules, pools, build statements with
implicit outputs, implicit, order-only and validation inputs, defaults, include and subninja.
Any text gives a Manifest or a ProjectFileError (or DuplicateOutput), never another exception.

Deliberately not here: dyndep files (they exist only during a build), deciding what to run.
"""

from __future__ import annotations

import posixpath
from pathlib import Path

import attrs

from mesh.errors import DuplicateOutput, ProjectFileError
from mesh.limits import MIB, NINJA_FILE_BYTES_MAX, NINJA_INCLUDE_DEPTH_MAX
from mesh.planners.ninja.evaluate import PHONY, Edge, Rule, Scope, evaluate
from mesh.planners.ninja.lexer import EvalString, Lexer

_RULE_KEYS = frozenset(
    {"command", "depfile", "deps", "description", "dyndep", "generator", "in", "in_newline"}
    | {"msvc_deps_prefix", "out", "pool", "restat", "rspfile", "rspfile_content"}
)


@attrs.define(eq=False)
class Manifest:
    """A parsed build.ninja. Relative paths are relative to `directory`."""

    path: Path
    directory: Path
    scope: Scope = attrs.field(factory=Scope)
    edges: list[Edge] = attrs.field(factory=list)
    producers: dict[str, Edge] = attrs.field(factory=dict)
    """Output -> the edge that makes it."""
    defaults: list[str] = attrs.field(factory=list)
    pools: dict[str, int] = attrs.field(factory=lambda: {"console": 1})


def parse_manifest(path: Path) -> Manifest:
    """Read a build.ninja and its includes. Raises ProjectFileError, DuplicateOutput."""
    manifest = Manifest(path, path.parent)
    manifest.scope.rules["phony"] = PHONY
    _Parser(manifest, manifest.scope, Lexer(path, read_text(path, path, 1)), 0).run()
    return manifest


def parse_text(path: Path, text: str) -> Manifest:
    """Parse text as if it were the file `path`."""
    manifest = Manifest(path, path.parent)
    manifest.scope.rules["phony"] = PHONY
    _Parser(manifest, manifest.scope, Lexer(path, text), 0).run()
    return manifest


def read_text(path: Path, asked_by: Path, line: int) -> str:
    """The text of a file that `asked_by` includes at `line`."""
    try:
        if path.stat().st_size > NINJA_FILE_BYTES_MAX:
            limit = f"at most {NINJA_FILE_BYTES_MAX // MIB} MiB"
            raise ProjectFileError(file=path, line=1, problem="it is too large", expected=limit)
        return path.read_bytes().decode("utf-8")
    except (OSError, ValueError) as error:
        raise ProjectFileError(
            file=asked_by,
            line=line,
            problem=f"cannot read `{path}`: {error}",
            expected="UTF-8 text",
        ) from None


def canonical(path: str) -> str:
    """A path as ninja knows it: without `.`, `//` and `name/..`."""
    if "/" not in path:
        return path
    normal = posixpath.normpath(path)
    return normal[1:] if normal.startswith("//") else normal


class _Parser:
    """One file. Files included by `include` share the scope, those by `subninja` get their own."""

    def __init__(self, manifest: Manifest, scope: Scope, lexer: Lexer, depth: int) -> None:
        self._manifest = manifest
        self._scope = scope
        self._lexer = lexer
        self._depth = depth
        self._statements = {
            "build": self._build,
            "rule": self._rule,
            "pool": self._pool,
            "default": self._default,
            "include": self._include,
            "subninja": self._subninja,
        }

    def run(self) -> None:
        while not self._lexer.at_end():
            name = self._lexer.ident("a statement such as `build`, `rule` or `name = value`")
            statement = self._statements.get(name)
            if statement is not None:
                statement()
            else:
                self._lexer.expect("=")
                self._scope.bindings[name] = self._evaluate(self._lexer.value())

    # -- statements ----------------------------------------------------------------------------
    def _rule(self) -> None:
        name = self._lexer.ident("the rule's name")
        self._lexer.end_of_line()
        if name in self._scope.rules:
            self._lexer.fail(f"the rule `{name}` is there already", "another name")
        bindings: dict[str, EvalString] = {}
        while self._lexer.indented():
            key, value = self._binding()
            if key not in _RULE_KEYS:
                self._lexer.fail(
                    f"a rule has no variable `{key}`", "one of " + ", ".join(sorted(_RULE_KEYS))
                )
            bindings[key] = value
        if not bindings.get("command"):
            self._lexer.fail(f"the rule `{name}` has no command", "command = ...")
        if bool(bindings.get("rspfile")) != bool(bindings.get("rspfile_content")):
            self._lexer.fail(
                f"the rule `{name}` has half a response file", "rspfile and rspfile_content"
            )
        self._scope.rules[name] = Rule(name, bindings)

    def _pool(self) -> None:
        name = self._lexer.ident("the pool's name")
        self._lexer.end_of_line()
        depth = -1
        while self._lexer.indented():
            key, value = self._binding()
            text = self._evaluate(value)
            if key != "depth" or not (text.isascii() and text.isdigit() and len(text) < 10):
                self._lexer.fail(f"a pool cannot have `{key} = {text}`", "depth = NUMBER")
            depth = int(text)
        if depth < 0 or name in self._manifest.pools:
            self._lexer.fail(f"the pool `{name}` is wrong", "depth = NUMBER, and a name once")
        self._manifest.pools[name] = depth

    def _default(self) -> None:
        paths = self._paths(self._scope)
        if not paths:
            self._lexer.fail("no target", "the default targets")
        for path in paths:
            if path not in self._manifest.producers and not self._is_input(path):
                self._lexer.fail(f"`{path}` is no target", "targets that are made above")
            self._manifest.defaults.append(path)
        self._lexer.end_of_line()

    def _is_input(self, path: str) -> bool:
        return any(
            path in edge.inputs or path in edge.implicit or path in edge.order_only
            for edge in self._manifest.edges
        )

    def _include(self) -> None:
        self._file(self._scope)

    def _subninja(self) -> None:
        self._file(Scope(parent=self._scope))

    def _file(self, scope: Scope) -> None:
        line = self._lexer.line
        names = self._lexer.paths()
        if len(names) != 1:
            self._lexer.fail(f"{len(names)} paths", "one path")
        path = self._manifest.directory / self._evaluate(names[0])
        if self._depth >= NINJA_INCLUDE_DEPTH_MAX:
            self._lexer.fail("files include each other too deeply", "no circle of includes")
        self._lexer.end_of_line()
        lexer = Lexer(path, read_text(path, self._lexer.path, line))
        _Parser(self._manifest, scope, lexer, self._depth + 1).run()

    def _build(self) -> None:
        lexer = self._lexer
        line = lexer.line
        outputs = lexer.paths()
        explicit = len(outputs)
        if lexer.accept("|"):
            outputs += lexer.paths()
        if not outputs:
            lexer.fail("no output", "the paths that the command makes")
        lexer.expect(":")
        name = lexer.ident("the name of a rule")
        rule = self._scope.rule(name)
        if rule is None:
            lexer.fail(f"there is no rule `{name}`", "a rule that is defined above")
        inputs = lexer.paths()
        # "||" and "|@" begin with "|", so the order of these matters.
        implicit = lexer.paths() if self._accept_implicit() else []
        order_only = lexer.paths() if lexer.accept("||") else []
        validations = lexer.paths() if lexer.accept("|@") else []
        lexer.end_of_line()
        edge = Edge(rule, self._edge_scope(), lexer.path, line)
        edge.outputs = self._names(outputs, edge.scope)
        edge.explicit_outputs = explicit
        edge.inputs = self._names(inputs, edge.scope)
        edge.implicit = self._names(implicit, edge.scope)
        edge.order_only = self._names(order_only, edge.scope)
        edge.validations = self._names(validations, edge.scope)
        self._add(edge)

    def _accept_implicit(self) -> bool:
        text_is_implicit = not self._lexer.peek("||") and not self._lexer.peek("|@")
        return text_is_implicit and self._lexer.accept("|")

    def _edge_scope(self) -> Scope:
        """The scope of the edge's own bindings. An edge without any uses the file's scope itself,
        whose variables then come before those of the rule: that is how ninja does it."""
        bindings: dict[str, str] = {}
        while self._lexer.indented():
            key, value = self._binding()
            bindings[key] = self._evaluate(value)
        return Scope(self._scope, bindings) if bindings else self._scope

    def _add(self, edge: Edge) -> None:
        pool = edge.binding("pool")
        if pool and pool not in self._manifest.pools:
            self._lexer.fail(f"there is no pool `{pool}`", "a pool that is defined above")
        for path in edge.outputs:
            other = self._manifest.producers.setdefault(path, edge)
            if other is not edge:
                raise DuplicateOutput(path=path, first=other.outputs[0], second=edge.outputs[0])
        if edge.is_phony:  # old CMakes write phony targets that name themselves
            edge.inputs = tuple(path for path in edge.inputs if path not in edge.outputs)
        self._manifest.edges.append(edge)

    # -- pieces --------------------------------------------------------------------------------
    def _binding(self) -> tuple[str, EvalString]:
        key = self._lexer.ident("the name of a variable")
        self._lexer.expect("=")
        return key, self._lexer.value()

    def _evaluate(self, text: EvalString) -> str:
        return evaluate(text, self._scope.lookup)

    def _paths(self, scope: Scope) -> tuple[str, ...]:
        return self._names(self._lexer.paths(), scope)

    def _names(self, paths: list[EvalString], scope: Scope) -> tuple[str, ...]:
        found = []
        for path in paths:
            text = evaluate(path, scope.lookup)
            if not text or "\0" in text:
                self._lexer.fail("an empty path", "a path")
            found.append(canonical(text))
        return tuple(found)
