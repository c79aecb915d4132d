"""Where two runs part: the first entry of their traces that differs, with what led there.

    record(scenario, path)           a run's trace as a text file, one entry a line; raises OSError
    first_difference(one, other)     Difference, or None when they are the same

A trace line is the virtual time in seconds and what was noted; datagrams are shown by route, size
and a short hash. Deliberately not here: why they part; the entries before say that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from hashlib import blake2b
from itertools import zip_longest
from pathlib import Path

import attrs

from sim.kernel.nanoseconds import NS_PER_S
from sim.scenario.model import Scenario
from sim.scenario.play import Director, Outcome, PlayConfig, play
from sim.whole import Aside

CONTEXT = 6
HEAD = "# vitte-trace/1"


@attrs.frozen
class Difference:
    """The first entry that is not the same."""

    number: int
    """Counting from 1."""
    before: tuple[str, ...]
    """The last entries that both have."""
    one: tuple[str, ...]
    """How the first goes on; empty when it ended there."""
    other: tuple[str, ...]


def entry(now_ns: int, what: tuple[object, ...]) -> str:
    """One line for what a trace was told."""
    parts = [_shown(part) for part in what]
    return f"{now_ns // NS_PER_S}.{now_ns % NS_PER_S:09d} {' '.join(parts)}"


def _shown(part: object) -> str:
    if isinstance(part, bytes):
        return f"{len(part)} bytes {blake2b(part, digest_size=4).hexdigest()}"
    return " ".join(str(part).split())


class TraceFile:
    """Writes a run's trace; give `prepare` to the play. Raises OSError when it cannot be begun.

    A disk that is full later does not disturb the run: `failure` says it, and no trace is left. A
    run that is interrupted leaves what it has come to."""

    def __init__(self, path: Path) -> None:
        self.failure: OSError | None = None
        self._aside = Aside(path)
        self._write((HEAD + "\n").encode())

    def prepare(self, director: Director) -> None:
        director.stage.world.trace.listeners.append(self._note)

    def _note(self, now_ns: int, what: tuple[object, ...]) -> None:
        self._write((entry(now_ns, what) + "\n").encode())

    def _write(self, line: bytes) -> None:
        if self.failure is None:
            try:
                self._aside.file.write(line)
            except OSError as error:
                self.failure = error
                self._aside.drop()

    def close(self) -> None:
        """The end of the trace; `failure` is final then."""
        if self.failure is None:
            try:
                self._aside.place()
            except OSError as error:
                self.failure = error


def record(scenario: Scenario, path: Path, config: PlayConfig | None = None) -> Outcome:
    """Play and write the trace."""
    trace = TraceFile(path)
    base = config or PlayConfig()
    try:
        outcome = play(scenario, attrs.evolve(base, prepare=(*base.prepare, trace.prepare)))
    finally:
        trace.close()
    if trace.failure is not None:
        raise trace.failure
    return outcome


def is_trace(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(HEAD)) == HEAD.encode()


def _entries(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8", errors="replace") as file:
        next(file, None)
        for line in file:
            yield line.rstrip("\n")


def first_difference(one: Path, other: Path) -> Difference | None:
    """Compare two trace files, in constant memory."""
    before: deque[str] = deque(maxlen=CONTEXT)
    first, second = _entries(one), _entries(other)
    for number, (left, right) in enumerate(zip_longest(first, second), 1):
        if left == right:
            before.append(left)
            continue
        return Difference(number, tuple(before), _go_on(left, first), _go_on(right, second))
    return None


def _go_on(entry: str | None, rest: Iterator[str]) -> tuple[str, ...]:
    if entry is None:
        return ()
    more = (line for _, line in zip(range(CONTEXT - 1), rest, strict=False))
    return (entry, *more)
