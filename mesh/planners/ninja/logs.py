"""Writes .ninja_log and .ninja_deps, so that after a run a local ninja finds nothing to do.

    record(plan, [Recorded(note, start_ms, end_ms), ...])

Formats (ninja's src/build_log.cc and src/deps_log.cc): the log is text, a line per output with
start, end, mtime, output and a hash of the command, in versions 5, 6 (MurmurHash64A) and 7
(rapidhash). The deps log is binary, version 4: path records that number the paths, and for each
output a record of its mtime and the numbers of what it read.

Rules
- The version of an existing log is kept unless the ninja of this build reads only newer ones, in
  which case it would throw the log away, and so do we. Without a log, that ninja's version decides.
- The mtime of an entry is that of the newest input when it was read, not of the output: an input
  that has changed since makes the output out of date, as it must.
- An output that is older than its inputs (because the same bytes were there already) gets the
  present time; ninja would build it again otherwise.
- `deps = gcc`: the depfile is read into the deps log and removed, as ninja does.

Nobody else may write these files meanwhile: do not record while a ninja runs in the folder.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import attrs

from mesh.limits import PROBE_TIMEOUT_S
from mesh.planners import makerule
from mesh.planners.base import NinjaNote, Plan
from mesh.planners.ninja.depslog import DepsLog
from mesh.planners.ninja.fresh import find_ninja
from mesh.planners.ninja.hashes import murmur64a, rapidhash
from mesh.planners.ninja.layout import read_cmake_cache
from mesh.planners.ninja.parser import canonical
from mesh.planners.validate import inside_path
from mesh.ports.real.files import file_time_ns

LOG_NAME = ".ninja_log"
DEPS_NAME = ".ninja_deps"
_HEADER = re.compile(rb"# ninja log v(\d+)\n")
_VERSIONS = (((1, 13), 7), ((1, 12), 6), ((0, 0), 5))
"""From which ninja on which log version is written."""
_KNOWN = (5, 6, 7)


@attrs.frozen
class Recorded:
    """One step that has succeeded."""

    note: NinjaNote
    start_ms: int = 0
    """Since the start of the run."""
    end_ms: int = 0
    deps: tuple[str, ...] | None = None
    """What it read, as a depfile names it; None reads the note's depfile."""
    reads: tuple[str, ...] = ()
    """`Resolved.reads`, used when there is no depfile."""
    newest_input_ns: int | None = None
    """`Resolved.newest_input_ns`; None looks at the inputs now."""


def record(plan: Plan, done: Iterable[Recorded], env: Mapping[str, str] | None = None) -> None:
    """Append entries for steps in the order in which they were done. Raises OSError."""
    LogWriter(plan, env).write(list(done))


class LogWriter:
    """The same in several goes, for a run that goes on; in the order in which steps are done."""

    def __init__(self, plan: Plan, env: Mapping[str, str] | None = None) -> None:
        assert plan.build_dir is not None, "only Ninja plans have logs"
        self._build = plan.build_dir
        self._cwd = inside_path(str(plan.build_dir), plan.mounts) or str(plan.build_dir)
        self._env = os.environ if env is None else env
        self._made: set[str] = set()
        self._canonical: dict[str, str] = {}
        self._version = 0
        self._deps: DepsLog | None = None

    def write(self, done: Sequence[Recorded]) -> None:
        """Append entries. Raises OSError."""
        path, keep = self._build / LOG_NAME, True
        if self._deps is None:
            self._version, keep = choose_version(self._build, self._env)
            self._deps = DepsLog(self._build / DEPS_NAME)
        deps = self._deps
        hash_command = rapidhash if self._version == 7 else murmur64a
        self._made.update(output for each in done for output in each.note.outputs)
        lines = [] if keep else [f"# ninja log v{self._version}\n"]
        for each in done:
            newest_ns = self._settle(each, deps)
            digest = hash_command(each.note.command.encode("utf-8", "surrogateescape"))
            lines += [
                f"{each.start_ms}\t{each.end_ms}\t{newest_ns}\t{output}\t{digest:x}\n"
                for output in each.note.outputs
            ]
        with path.open("ab" if keep else "wb") as file:
            file.write("".join(lines).encode("utf-8", "surrogateescape"))
        deps.save()

    def _settle(self, done: Recorded, deps: DepsLog) -> int:
        """Bring times and dependencies of one step in order; returns its newest input, in ns."""
        read = self._read(done)
        newest_ns = self._newest(done, read)
        for output in done.note.outputs:
            self._not_older(self._build / output, newest_ns)
        if done.note.deps == "gcc" and read is not None:
            output = done.note.outputs[0]
            mtime_ns = _mtime_ns(self._build / output)
            if mtime_ns:
                deps.add(output, mtime_ns, read)
                if done.note.depfile:
                    (self._build / done.note.depfile).unlink(missing_ok=True)
        return newest_ns

    def _read(self, done: Recorded) -> tuple[str, ...] | None:
        """What the step read, canonical; None when nobody knows."""
        if done.deps is not None:
            return self._names(done.deps)
        if not done.note.depfile:
            return None
        try:
            text = (self._build / done.note.depfile).read_text("utf-8", "surrogateescape")
        except OSError:
            return tuple(self._relative(path) for path in done.reads) or None
        return self._names(makerule.prerequisites(text))

    def _names(self, paths: Sequence[str]) -> tuple[str, ...]:
        """Canonical, each once. Most steps of a project read the same headers."""
        known = self._canonical
        for path in paths:
            if path not in known:
                known[path] = canonical(path)
        return tuple(dict.fromkeys(known[path] for path in paths))

    def _relative(self, path: str) -> str:
        """A path as the manifest would name it, if it is in the build folder."""
        return path[len(self._cwd) + 1 :] if path.startswith(self._cwd + "/") else path

    def _newest(self, done: Recorded, read: tuple[str, ...] | None) -> int:
        """What other steps made is as old as it is now; the rest is as old as when it was read."""
        paths = {*done.note.inputs, *(read or ())}
        made = [path for path in paths if path in self._made]
        known_ns = done.newest_input_ns
        looked_at = paths if known_ns is None else made
        return max([known_ns or 0, *(_mtime_ns(self._build / path) for path in looked_at)])

    def _not_older(self, path: Path, newest_ns: int) -> None:
        mtime_ns = _mtime_ns(path)
        if 0 < mtime_ns < newest_ns:
            now_ns = max(file_time_ns(), newest_ns)
            os.utime(path, ns=(now_ns, now_ns))


def choose_version(build: Path, env: Mapping[str, str]) -> tuple[int, bool]:
    """The log version to write, and whether the present log is kept."""
    present = _present_version(build / LOG_NAME)
    wanted = _version_of_ninja(build, env)
    if present in _KNOWN and (wanted is None or present >= wanted):
        return present, True
    return wanted or _KNOWN[-1], False


def _present_version(path: Path) -> int:
    try:
        with path.open("rb") as file:
            match = _HEADER.match(file.readline(64))
    except OSError:
        return 0
    return int(match[1]) if match is not None else 0


def _version_of_ninja(build: Path, env: Mapping[str, str]) -> int | None:
    ninja = find_ninja(read_cmake_cache(build).get("CMAKE_MAKE_PROGRAM", ""), env)
    if ninja is None:
        return None
    try:
        done = subprocess.run(
            [ninja, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.match(rb"(\d+)\.(\d+)", done.stdout)
    if match is None:
        return None
    version = (int(match[1]), int(match[2]))
    return next(log for since, log in _VERSIONS if version >= since)


def _mtime_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
