"""Tests of CTest as steps.

CTestTestfile.cmake is read directly: `ctest --show-only=json-v1` tells a test's command only once
its program exists, and a plan is made before anything is built. CMake writes these files with
`add_test`, `set_tests_properties` and `subdirs` only; a folder whose file holds anything else
(tests that are discovered after the build) is left to ctest itself, in place.

What a test may read, since nobody declares it: the sources, the files that configuration put into
the build folder, its program with the shared libraries of the project, and what its command names.
Tests whose properties change the meaning of the result (WILL_FAIL, fixtures, PASS_REGULAR_...)
are run by ctest, in place on this machine.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NoReturn

import attrs

from mesh.action.model import inside
from mesh.errors import ProjectFileError, UnknownTarget
from mesh.limits import PROJECT_FILE_BYTES_MAX, SHARD_TIMEOUT_DEFAULT_S, SHARDS_MAX
from mesh.planners.base import Step
from mesh.planners.environment import step_env
from mesh.planners.globs import project_files
from mesh.planners.ninja.steps import StepMaker

TEST_FILE = "CTestTestfile.cmake"
_SIMPLE = frozenset(
    {"WORKING_DIRECTORY", "ENVIRONMENT", "TIMEOUT", "LABELS", "COST", "PROCESSORS", "MEASUREMENT"}
    | {"RUN_SERIAL", "RESOURCE_LOCK", "REQUIRED_FILES", "ATTACHED_FILES"}
    | {"ATTACHED_FILES_ON_FAIL", "PROCESSOR_AFFINITY", "_BACKTRACE_TRIPLES", "DISABLED"}
)
_TOKEN = re.compile(
    r"""\#[^\n]* | \s+
      | \[(?P<level>=*)\[\n?(?P<bracket>.*?)\](?P=level)\]
      | "(?P<quoted>(?:\\.|[^"\\])*)"
      | (?P<paren>[()])
      | (?P<plain>(?:\\.|[^\s()"\#\\])+)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_CONFIGURE_JUNK = frozenset({"CMakeFiles", "Testing", "CMakeCache.txt", "cmake_install.cmake"})


@attrs.frozen
class Test:
    name: str
    command: tuple[str, ...]
    folder: str
    """The folder of the file that defines it."""
    properties: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def is_simple(self) -> bool:
        return bool(self.command) and set(self.properties) <= _SIMPLE

    @property
    def is_disabled(self) -> bool:
        return self.properties.get("DISABLED", "").upper() in {"1", "ON", "TRUE", "YES"}


@attrs.frozen
class Tests:
    tests: tuple[Test, ...]
    dynamic: tuple[str, ...]
    """Folders whose tests only ctest knows."""


def read_tests(build: str, host: Path) -> Tests:
    """All tests of a build folder that is at `host` and called `build` in commands.

    Raises ProjectFileError.
    """
    tests: list[Test] = []
    dynamic: list[str] = []
    pending = [""]
    seen: set[str] = set()
    while pending and len(tests) < SHARDS_MAX:
        folder = pending.pop(0)
        path = host / folder / TEST_FILE
        if folder in seen or not path.is_file():
            continue
        seen.add(folder)
        calls = parse_calls(path, _read(path))
        if any(name not in {"add_test", "set_tests_properties", "subdirs"} for name, _ in calls):
            dynamic.append(folder)
            continue
        here = posixpath.normpath(posixpath.join(build, folder))
        tests += _tests_of(calls, here)
        pending += [
            posixpath.relpath(posixpath.join(here, each), build)
            for name, arguments in calls
            if name == "subdirs"
            for each in arguments
        ]
    return Tests(tuple(tests), tuple(dynamic))


def parse_calls(path: Path, text: str) -> list[tuple[str, list[str]]]:
    """The command calls of a CMake file: (lower-case name, arguments). Raises ProjectFileError."""
    calls: list[tuple[str, list[str]]] = []
    name, arguments, depth, at = "", [""], 0, 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            _fail(path, text, at, f"found `{text[at]}`")
        at = match.end()
        if match["paren"] == "(":
            depth += 1
            arguments = [] if depth == 1 else arguments
        elif match["paren"] == ")":
            depth -= 1
            if depth == 0:
                calls.append((name.lower(), arguments))
        elif (word := _word(match)) is not None:
            if depth > 0:
                arguments.append(word)
            else:
                name = word
        if depth < 0:
            _fail(path, text, at, "a `)` too many")
    if depth:
        _fail(path, text, at, "a `(` is not closed")
    return calls


def _word(match: re.Match[str]) -> str | None:
    if match["bracket"] is not None:
        return match["bracket"]
    text = match["quoted"] if match["quoted"] is not None else match["plain"]
    if text is None:
        return None
    return re.sub(r"\\(.)", lambda each: _ESCAPES.get(each[1], each[1]), text, flags=re.DOTALL)


def _fail(path: Path, text: str, at: int, problem: str) -> NoReturn:
    line = text.count("\n", 0, at) + 1
    raise ProjectFileError(file=path, line=line, problem=problem, expected="CMake commands")


def _read(path: Path) -> str:
    data = path.read_bytes()
    if len(data) > PROJECT_FILE_BYTES_MAX:
        raise ProjectFileError(file=path, line=1, problem="it is too large", expected="less")
    return data.decode("utf-8", "replace")


def _tests_of(calls: list[tuple[str, list[str]]], folder: str) -> list[Test]:
    tests: dict[str, Test] = {}
    for name, arguments in calls:
        if name == "add_test" and arguments:
            tests[arguments[0]] = Test(arguments[0], tuple(arguments[1:]), folder)
        elif name == "set_tests_properties" and "PROPERTIES" in arguments:
            at = arguments.index("PROPERTIES")
            pairs = dict(zip(arguments[at + 1 :: 2], arguments[at + 2 :: 2], strict=False))
            for each in arguments[:at]:
                if each in tests:
                    old = tests[each]
                    tests[each] = attrs.evolve(old, properties={**old.properties, **pairs})
    return list(tests.values())


class TestMaker:
    """Makes steps of tests, for a plan that holds the build's steps already."""

    __test__ = False  # not a test class, whatever pytest thinks of its name

    def __init__(self, maker: StepMaker, steps: list[Step]) -> None:
        self._maker = maker
        self._layout = maker.layout
        self._steps = steps
        self._makers = {output.path: step for step in steps for output in step.outputs}
        self._common: tuple[str, ...] | None = None

    def make(self, build: Path, names: tuple[str, ...]) -> list[Step]:
        """Steps of the named tests, or of all. Raises UnknownTarget, ProjectFileError."""
        found = read_tests(self._layout.cwd, build)
        tests = [test for test in found.tests if not test.is_disabled]
        known = {test.name for test in tests}
        for name in names:
            if name not in known:
                raise UnknownTarget(name=name, near="`ctest -N` lists the tests")
        chosen = [test for test in tests if not names or test.name in names]
        dynamic = found.dynamic if not names else ()
        return [*map(self._step, chosen), *map(self._folder_step, dynamic)]

    def _step(self, test: Test) -> Step:
        if not test.is_simple:
            pattern = "^" + re.sub(r"([^A-Za-z0-9_])", r"\\\1", test.name) + "$"
            return self._by_ctest(f"test:{test.name}", test.folder, ("-R", pattern))
        properties = test.properties
        cwd = posixpath.join(test.folder, properties.get("WORKING_DIRECTORY", ""))
        cwd = posixpath.normpath(cwd)
        argv = (self._program(test), *test.command[1:])
        programs, needs = self._programs(test, argv)
        named = [each for word in argv for each in self._named(word, cwd)]
        required = properties.get("REQUIRED_FILES", "").split(";")
        named += [each for word in required if word for each in self._named(word, cwd)]
        return Step(
            name=f"test:{test.name}",
            argv=argv,
            cwd=cwd,
            env=self._env(argv[0], properties.get("ENVIRONMENT", "")),
            inputs=tuple(dict.fromkeys([*self._common_inputs(), *programs, *named])),
            needs=needs,
            timeout_s=_seconds(properties.get("TIMEOUT", "")),
            display=f"test {test.name}",
        )

    def _program(self, test: Test) -> str:
        """The program, absolute when it is one of the project's: ctest looks beside its file."""
        name = test.command[0]
        path = posixpath.normpath(posixpath.join(test.folder, name))
        return path if path in self._makers else name

    def _programs(self, test: Test, argv: tuple[str, ...]) -> tuple[list[str], tuple[str, ...]]:
        """The project's programs that a test runs, with their libraries, and who makes them. A
        test that runs none of them directly may run any."""
        made = [path for word in argv if (path := self._made(word, test.folder))]
        if not made:
            made = [path for path in self._makers if self._is_product(path)]
        found: dict[str, None] = {}
        for path in made:
            found[path] = None
            for each in self._maker.graph.companions(self._maker.relative(path)):
                inner = self._layout.inside(each)
                if inner is not None:
                    found[inner] = None
        needs = {self._makers[path].name: None for path in found if path in self._makers}
        return list(found), tuple(needs)

    def _made(self, word: str, folder: str) -> str | None:
        path = posixpath.normpath(posixpath.join(folder, word))
        return path if path in self._makers else None

    def _is_product(self, path: str) -> bool:
        """Whether an output is something to run or load, and not an object of a compilation."""
        step = self._makers[path]
        return step.scan is None and not step.local and path != step.depfile

    def _named(self, word: str, cwd: str) -> list[str]:
        path = posixpath.normpath(posixpath.join(cwd, word.rpartition("=")[2] or word))
        inner = self._layout.inside(path)
        if inner is None or inner in self._makers:
            return []
        return [inner] if os.path.isfile(path) else []  # noqa: PTH113

    def _common_inputs(self) -> tuple[str, ...]:
        """The sources, and what configuration has put into the build folder."""
        if self._common is None:
            source = self._layout.inside(str(self._layout.source)) or str(self._layout.source)
            build = self._layout.cwd
            sources = [f"{source}/{name}" for name in project_files(self._layout.source)]
            producers = self._maker.graph.manifest.producers
            names = _configured(self._layout.build)
            configured = [f"{build}/{name}" for name in names if name not in producers]
            self._common = tuple(
                path
                for path in [*(each for each in sources if not inside(each, build)), *configured]
                if path not in self._makers and self._layout.inside(path) is not None
            )
        return self._common

    def _env(self, program: str, extra: str) -> tuple[tuple[str, str], ...]:
        env = dict(step_env((program,), self._maker.env, extra=("PATH",)))
        for pair in re.split(r"(?<!\\);", extra):
            name, separator, value = pair.partition("=")
            if separator:
                env[name] = value.replace("\\;", ";")
        return tuple(sorted(env.items()))

    def _folder_step(self, folder: str) -> Step:
        where = posixpath.normpath(posixpath.join(self._layout.cwd, folder))
        return self._by_ctest(f"test:{folder or '.'}/*", where, ())

    def _by_ctest(self, name: str, folder: str, options: Iterable[str]) -> Step:
        """A local step that lets ctest itself run tests in place."""
        return Step(
            name=name,
            argv=("ctest", "--test-dir", folder, "--output-on-failure", *options),
            cwd=self._layout.cwd,
            env=step_env(("ctest",), self._maker.env, extra=("PATH", "HOME")),
            needs=tuple(step.name for step in self._steps),
            cacheable=False,
            local=True,
            display=name.replace(":", " ", 1),
        )


def _configured(build: Path) -> list[str]:
    """Files in the build folder, relative to it; the caller takes out what the build makes, and
    the rest is what configuration has put there."""
    found: list[str] = []
    for folder, folders, names in os.walk(build):
        folders[:] = [each for each in folders if each not in _CONFIGURE_JUNK and each[0] != "."]
        base = os.path.relpath(folder, build)
        found += [
            name if base == "." else f"{base}/{name}"
            for name in names
            if name[0] != "." and name not in _CONFIGURE_JUNK and not name.endswith(".ninja")
        ]
    return sorted(found)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        return SHARD_TIMEOUT_DEFAULT_S
    return seconds if 0 < seconds < 1e9 else SHARD_TIMEOUT_DEFAULT_S
