"""Reads a vitte-dist.toml into checked values.

Every complaint is a ProjectFileError that names file, line and what was expected; an unknown key
comes with the nearest known one. Nothing of the project besides this file is looked at here.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import attrs

from mesh.errors import ProjectFileError
from mesh.limits import (
    GIB,
    KIB,
    MIB,
    PROJECT_FILE_BYTES_MAX,
    SHARD_TIMEOUT_DEFAULT_S,
)
from mesh.planners.base import Kind
from mesh.planners.steps.lines import Lines, find_lines

T = TypeVar("T")

FILE_NAME = "vitte-dist.toml"
_KINDS = {"build": Kind.BUILD, "test": Kind.TEST, "bench": Kind.BENCH}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(KiB|MiB|GiB)")
_BYTES = {"KiB": KIB, "MiB": MIB, "GiB": GIB}


@attrs.frozen
class StepTable:
    """One [[step]], as written, defaults filled in."""

    name: str
    line: int
    run: str | tuple[str, ...]
    """A string goes to /bin/sh -c, an array is executed directly."""
    kind: Kind = Kind.BUILD
    foreach: tuple[str, ...] = ()
    out: tuple[str, ...] = ()
    inputs: tuple[str, ...] | None = None
    """None when the key is missing, which is not the same as an empty list."""
    needs: tuple[str, ...] = ()
    scan: str = ""
    timeout_s: float = SHARD_TIMEOUT_DEFAULT_S
    memory_bytes: int = 8 * GIB
    cache: bool = True
    local: bool = False
    env: tuple[tuple[str, str], ...] = ()
    tools: tuple[str, ...] = ()
    cwd: str = "."


@attrs.frozen
class ProjectFile:
    path: Path
    lines: Lines
    name: str
    env: tuple[str, ...]
    """Variables passed on from the caller's environment."""
    steps: tuple[StepTable, ...]

    def fail(self, step: StepTable, key: str, problem: str, expected: str) -> NoReturn:
        """Raise the error that points at a key of a step."""
        index = self.steps.index(step)
        line = self.lines.of("step", index, key)
        raise ProjectFileError(file=self.path, line=line, problem=problem, expected=expected)


def read_project_file(path: Path) -> ProjectFile:
    """Read and check. Raises ProjectFileError."""
    return parse_project_file(path, _read(path))


def parse_project_file(path: Path, text: str) -> ProjectFile:
    """Check the text of a vitte-dist.toml. Raises ProjectFileError and nothing else."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(path, text, error) from None
    except RecursionError:
        raise ProjectFileError(
            file=path, line=1, problem="it is nested too deeply", expected="plain tables"
        ) from None
    return _Reader(path, find_lines(text)).file(data)


def _read(path: Path) -> str:
    try:
        data = path.read_bytes()
    except OSError as error:
        why = error.strerror or str(error)
        raise ProjectFileError(file=path, line=1, problem=why, expected="a readable file") from None
    if len(data) > PROJECT_FILE_BYTES_MAX:
        limit = f"at most {PROJECT_FILE_BYTES_MAX // MIB} MiB"
        raise ProjectFileError(file=path, line=1, problem="it is too large", expected=limit)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ProjectFileError(
            file=path, line=line, problem="these bytes are no text", expected="UTF-8"
        ) from None


def _syntax_error(path: Path, text: str, error: tomllib.TOMLDecodeError) -> ProjectFileError:
    message = str(error)
    match = re.search(r"\(at line (\d+), column \d+\)", message)
    line = int(match[1]) if match else text.rstrip().count("\n") + 1
    problem = re.sub(r" \(at .*\)$", "", message)
    return ProjectFileError(file=path, line=line, problem=problem, expected="TOML (toml.io)")


class _Reader:
    """Checks values and knows where to point."""

    def __init__(self, path: Path, lines: Lines) -> None:
        self._path = path
        self._lines = lines
        self._table, self._index = "", 0

    def file(self, data: Mapping[str, Any]) -> ProjectFile:
        self._known(data, ("project", "step"))
        project = data.get("project", {})
        self._at("project", 0)
        if not isinstance(project, dict):
            self._fail("", "`project` is not a table", "[project]")
        self._known(project, ("name", "env"))
        name = self._get(project, "name", _text, self._path.parent.name)
        env = self._get(project, "env", _texts, ())
        steps = self._steps(data.get("step", []))
        return ProjectFile(self._path, self._lines, name, env, steps)

    def _steps(self, tables: object) -> tuple[StepTable, ...]:
        self._at("step", 0)
        if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
            self._fail("", "`step` is not an array of tables", "[[step]]")
        steps: list[StepTable] = []
        for index, table in enumerate(tables):
            self._at("step", index)
            step = self._step(table)
            if any(step.name == other.name for other in steps):
                self._fail("name", f"`{step.name}` is the name of two steps", "another name")
            steps.append(step)
        for index, step in enumerate(steps):
            self._at("step", index)
            self._check_needs(step, [other.name for other in steps])
        return tuple(steps)

    def _step(self, table: Mapping[str, Any]) -> StepTable:
        keys = tuple(field.name for field in attrs.fields(StepTable) if field.name != "line")
        public = tuple(_PUBLIC.get(key, key) for key in keys)
        self._known(table, public)
        name = self._get(table, "name", _name, None)
        run = self._get(table, "run", _run, None)
        if name is None or run is None:
            missing = "name" if name is None else "run"
            self._fail("", f"the step has no `{missing}`", f"{missing} = ...")
        kind = self._get(table, "kind", _kind, Kind.BUILD)
        return StepTable(
            name=name,
            line=self._lines.of(self._table, self._index),
            run=run,
            kind=kind,
            foreach=self._get(table, "foreach", _text_or_texts, ()),
            out=self._get(table, "out", _text_or_texts, ()),
            inputs=self._get(table, "inputs", _text_or_texts, None),
            needs=self._get(table, "needs", _text_or_texts, ()),
            scan=self._get(table, "scan", _scan, ""),
            timeout_s=self._get(table, "timeout", _duration, SHARD_TIMEOUT_DEFAULT_S),
            memory_bytes=self._get(table, "memory", _size, 8 * GIB),
            # A measurement that comes from a cache measures nothing.
            cache=self._get(table, "cache", _boolean, kind is not Kind.BENCH),
            local=self._get(table, "local", _boolean, False),
            env=self._get(table, "env", _env, ()),
            tools=self._get(table, "tools", _text_or_texts, ()),
            cwd=self._get(table, "cwd", _text, "."),
        )

    def _check_needs(self, step: StepTable, names: list[str]) -> None:
        for need in step.needs:
            if need not in names:
                near = _nearest(need, names)
                self._fail("needs", f"there is no step `{need}`", near or "the name of a step")

    def _get(
        self, table: Mapping[str, Any], key: str, check: Callable[[object], T | str], default: Any
    ) -> Any:
        """The checked value; `check` raises _WrongError with what it expected."""
        if key not in table:
            return default
        try:
            return check(table[key])
        except _WrongError as wrong:
            self._fail(key, f"`{key}` is {_shown(table[key])}", str(wrong))

    def _known(self, table: Mapping[str, Any], keys: tuple[str, ...]) -> None:
        for key in table:
            if key not in keys:
                near = _nearest(key, keys)
                expected = near or "one of " + ", ".join(keys)
                self._fail(key, f"unknown key `{key}`", expected)

    def _at(self, table: str, index: int) -> None:
        self._table, self._index = table, index

    def _fail(self, key: str, problem: str, expected: str) -> NoReturn:
        line = self._lines.of(self._table, self._index, key)
        raise ProjectFileError(file=self._path, line=line, problem=problem, expected=expected)


_PUBLIC = {"timeout_s": "timeout", "memory_bytes": "memory"}


class _WrongError(Exception):
    """A value is not what it must be; the message says what that is."""


def _nearest(word: str, known: tuple[str, ...] | list[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"`{near[0]}`" if near else ""


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _text(value: object) -> str:
    if not isinstance(value, str) or not value or "\0" in value:
        raise _WrongError("a string")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _WrongError("a list of strings")
    return tuple(_text(each) for each in value)


def _text_or_texts(value: object) -> tuple[str, ...]:
    return (_text(value),) if isinstance(value, str) else _texts(value)


def _name(value: object) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise _WrongError("letters, digits and any of _ . + -")
    return value


def _run(value: object) -> str | tuple[str, ...]:
    if isinstance(value, str):
        return _text(value)
    words = _texts(value) if isinstance(value, list) else ()
    if not words:
        raise _WrongError("a shell command, or a list of words")
    return words


def _kind(value: object) -> Kind:
    if not isinstance(value, str) or value not in _KINDS:
        raise _WrongError('"build", "test" or "bench"')
    return _KINDS[value]


def _scan(value: object) -> str:
    if value != "cc":
        raise _WrongError('"cc"')
    return "cc"


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise _WrongError("true or false")
    return value


def _duration(value: object) -> float:
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    if not 0 < seconds < 1e9:
        raise _WrongError('a duration such as "90s", "5m" or "1h"')
    return seconds


def _size(value: object) -> int:
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    size_bytes = float(match[1]) * _BYTES[match[2]] if match else 0.0
    if not 1 <= size_bytes < 2**63:
        raise _WrongError('a size such as "512MiB" or "2GiB"')
    return int(size_bytes)


def _env(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict):
        raise _WrongError("a table of strings")
    for key, each in value.items():
        if not isinstance(each, str) or "\0" in each or not key or "=" in key or "\0" in key:
            raise _WrongError("a table of strings")
    return tuple(sorted(value.items()))
