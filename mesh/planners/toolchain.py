"""The fingerprint of everything outside the project that a step runs or links.

    Toolchains(hasher).of_step(step, mounts) -> {path: digest}

Rules
- A program is recorded under the path by which it is run (`/usr/bin/cc`, not what that links to),
  with the digest of what is there: another node with the same path and digest runs the same.
- gcc- and clang-like drivers bring along the programs they start (cc1, as, ld, ...), and, for
  links, start files, libc and every `-l` library, found with the driver's `-print-search-dirs`.
- A Python of a virtual environment brings along the RECORD of every installed package, which lists
  the hash of each of its files.
- A program of the project itself is an input, not a tool; its loader and the system libraries it
  needs are tools.
- A word that is on no PATH is taken for a shell builtin, except the program of the step itself and
  what the step names in `tools`: those raise ToolNotFound.

Thread-safe. What a driver brings along is asked once per (driver, its stat, target options).
Deliberately not here: shared libraries of system programs (their packages' versions differ more
often than their output), and headers, which the dependency scan names one by one.
"""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from posixpath import basename
from typing import Protocol

import attrs

from mesh.errors import ToolNotFound
from mesh.limits import PROBE_TIMEOUT_S
from mesh.planners import cc, elf, shell
from mesh.planners.base import Mount, Step
from mesh.planners.environment import STANDARD_PATH, find_program
from mesh.planners.validate import host_path, inside_path
from mesh.types import Digest

_START_FILES = (
    *("crt1.o", "Scrt1.o", "crti.o", "crtn.o", "crtbegin.o", "crtbeginS.o", "crtend.o"),
    *("crtendS.o", "libc.so", "libc.so.6", "libc.a", "libc_nonshared.a", "libgcc.a"),
    *("libgcc_s.so.1", "libm.so", "libm.so.6"),
)
_CXX_FILES = ("libstdc++.so", "libstdc++.a", "libc++.so", "libc++.a")


Tools = Mapping[str, Digest]
"""Path to digest, sorted by path."""


class Hasher(Protocol):
    """What is needed of `mesh.cas.filehash.FileHasher`."""

    def digest(self, path: Path | str) -> Digest:
        """SHA-256 of the file. Raises OSError, InputChanged."""
        ...


@attrs.frozen
class _SearchDirs:
    programs: tuple[str, ...]
    libraries: tuple[str, ...]


class Toolchains:
    """See the module's head."""

    def __init__(self, hasher: Hasher) -> None:
        self._hasher = hasher
        self._lock = threading.Lock()
        self._search: dict[tuple[object, ...], _SearchDirs] = {}

    def of_step(
        self, step: Step, mounts: tuple[Mount, ...], known: dict[object, Tools] | None = None
    ) -> Tools:
        """Path and digest of every tool. Raises ToolNotFound, InputChanged.

        `known` is shared by calls for steps of one moment: most steps of a project differ in
        their files only.
        """
        commands = shell.commands_of(step.argv)
        told = tuple(_telling(words) for words in commands)
        key = (told, step.tools, step.cwd, step.env)
        tools = known.get(key) if known is not None else None
        if tools is None:
            paths = dict.fromkeys(self._paths(step, commands, mounts))
            outside = [path for path in paths if inside_path(path, mounts) is None]
            tools = {path: self._digest(path) for path in sorted(outside)}
            if known is not None:
                known[key] = tools
        return tools

    def _paths(
        self, step: Step, commands: list[tuple[str, ...]], mounts: tuple[Mount, ...]
    ) -> Iterator[str]:
        env = dict(step.env)
        search = env.get("PATH", os.pathsep.join(STANDARD_PATH))
        for index, words in enumerate(commands):
            program = _program(words[0], step.cwd, search, mounts)
            if program is None:
                if index == 0:
                    how = "install it, or correct the command"
                    raise ToolNotFound(tool=words[0], how=how)
                continue
            yield from self._with_company(program, words, env, mounts)
        for name in step.tools:
            tool = _program(name, step.cwd, search, mounts)
            if tool is None and os.path.isfile(name):  # noqa: PTH113
                tool = name  # a library or data file outside the project
            if tool is None:
                raise ToolNotFound(tool=name, how=f"install it: `{step.name}` needs it")
            yield from self._with_company(tool, (tool,), env, mounts)

    def _with_company(
        self, program: str, words: tuple[str, ...], env: dict[str, str], mounts: tuple[Mount, ...]
    ) -> Iterator[str]:
        """The program and what it brings along."""
        yield program
        if inside_path(program, mounts) is not None:
            yield from elf.libraries(Path(program), env)
            return
        yield from _script_interpreter(program)
        if basename(program).startswith("python"):
            yield from _python_files(program)
        call = cc.parse(words)
        if call is not None and call.driver[0] == words[0]:
            yield from self._driver_files(program, call, env)

    def _driver_files(
        self, program: str, call: cc.CompilerCall, env: dict[str, str]
    ) -> Iterator[str]:
        dirs = self._search_dirs(program, call, env)
        path = tuple(env.get("PATH", "").split(os.pathsep))
        for name in _helpers(call):
            yield from _first_file(name, (*dirs.programs, *path))
        if call.links:
            for name in _link_files(call):
                yield from _first_file(name, (*call.library_dirs, *dirs.libraries))

    def _search_dirs(self, program: str, call: cc.CompilerCall, env: dict[str, str]) -> _SearchDirs:
        stat = os.stat(program)  # noqa: PTH116
        driver = (program, *call.driver[1:])
        key = (driver, call.target_options, stat.st_ino, stat.st_size, stat.st_mtime_ns)
        with self._lock:
            known = self._search.get(key)
        if known is None:
            known = _ask_search_dirs((*driver, *call.target_options, "-print-search-dirs"), env)
            with self._lock:
                self._search[key] = known
        return known

    def _digest(self, path: str) -> Digest:
        try:
            return self._hasher.digest(path)
        except OSError as error:
            raise ToolNotFound(tool=path, how=f"it cannot be read: {error.strerror}") from error


def _telling(words: tuple[str, ...]) -> object:
    """What of a command makes a difference to its tools: of other words the program alone."""
    call = cc.parse(words)
    if call is None or call.driver[0] != words[0]:
        return words[:1]
    return (
        call.driver,
        call.target_options,
        tuple(_helpers(call)),
        (call.library_dirs, tuple(_link_files(call))) if call.links else None,
    )


def _program(name: str, cwd: str, search: str, mounts: tuple[Mount, ...]) -> str | None:
    """The file on this machine that running `name` in `cwd` means."""
    if "/" not in name:
        return find_program(name, search)
    path = os.path.normpath(os.path.join(cwd, name))  # noqa: PTH118
    return find_program(host_path(path, mounts) or path, search)


def _script_interpreter(program: str) -> Iterable[str]:
    """For a script, what runs it; a compiled program's loader is the system's business."""
    path = Path(program)
    try:
        with path.open("rb") as file:
            is_script = file.read(2) == b"#!"
    except OSError:
        return ()
    found = elf.interpreter(path) if is_script else None
    if found is None or not Path(found).is_file():
        return ()
    return (found, *(_python_files(found) if basename(found).startswith("python") else ()))


def _python_files(program: str) -> list[str]:
    """Files that say which Python this is and what is installed with it."""
    real = Path(program).resolve()
    marker = real.parent.parent / "lib" / real.name / "os.py"
    found = [str(real), *([str(marker)] if marker.is_file() else [])]
    prefix = Path(program).parent.parent
    if (prefix / "pyvenv.cfg").is_file():
        found += sorted(map(str, prefix.glob("lib/python*/site-packages/*.dist-info/RECORD")))
    return found


def _ask_search_dirs(argv: tuple[str, ...], env: dict[str, str]) -> _SearchDirs:
    """The driver's own search paths; empty when it does not tell (zig does not)."""
    try:
        done = subprocess.run(
            argv,
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return _SearchDirs((), ())
    found: dict[str, tuple[str, ...]] = {}
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        kind, separator, value = line.partition(": =")
        if separator:
            found[kind] = tuple(value.split(os.pathsep))
    return _SearchDirs(found.get("programs", ()), found.get("libraries", ()))


def _helpers(call: cc.CompilerCall) -> list[str]:
    """Programs that a driver starts."""
    names = ["as"]
    if call.compiles or not call.links:
        names.append("cc1plus" if call.is_cxx else "cc1")
    else:
        linkers = [each.partition("=")[2] for each in call.target_options if "-fuse-ld=" in each]
        names += ["collect2", "ld", *(f"ld.{name}" for name in linkers)]
        names += ["cc1plus" if call.is_cxx else "cc1", "liblto_plugin.so"]
    if call.uses_lto:
        names += ["lto1", "lto-wrapper"]
    return names


def _link_files(call: cc.CompilerCall) -> list[str]:
    names = [*_START_FILES, *(_CXX_FILES if call.is_cxx else ())]
    for library in call.libraries:
        exact = library.removeprefix(":")
        names += [exact] if exact != library else [f"lib{library}.so", f"lib{library}.a"]
    return names


def _first_file(name: str, folders: Iterable[str]) -> Iterable[str]:
    for folder in folders:
        if folder.startswith("/"):
            path = os.path.normpath(f"{folder}/{name}")
            if os.path.isfile(path):  # noqa: PTH113
                return (path,)
    return ()
