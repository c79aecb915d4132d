"""Tries inputs, keeps those that reach new code, and says what broke a rule.

Coverage is pairs of lines that follow one another in our own code, and in what the codecs compile
(`<string>`), seen by `sys.settrace`. So a seed and a number of tries give the same run everywhere.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from random import Random
from types import CodeType, FrameType
from typing import Any

import attrs

import mesh
from sim.fuzz.mutate import mutated

CORPUS_MAX = 2000
FINDINGS_MAX = 5
FRESH_SHARE = 0.5
"""So often one of the newest inputs is taken further."""
FRESH = 20
_OURS = (str(Path(mesh.__file__).parent), "<string>")

Arc = tuple[int, int, int]


@attrs.frozen
class Target:
    """Something that takes bytes from others."""

    name: str
    check: Callable[[bytes], bool]
    """Whether the input was accepted. Refusals that are allowed are caught inside; whatever else is
    raised, an AssertionError of a rule included, is a finding."""
    seeds: Callable[[Random], Iterable[bytes]]


@attrs.frozen
class Finding:
    """An input that broke a rule."""

    target: str
    number: int
    data: bytes
    error: str


@attrs.define
class Played:
    """What came of one target."""

    target: str
    tries: int = 0
    accepted: int = 0
    arcs: int = 0
    corpus: int = 0
    findings: list[Finding] = attrs.field(factory=list)


class Coverage:
    """Which lines follow which, while an input is tried."""

    def __init__(self) -> None:
        self.arcs: set[Arc] = set()
        self._fresh = False
        self._codes: dict[CodeType, int | None] = {}

    def run(self, check: Callable[[bytes], bool], data: bytes) -> tuple[bool, bool]:
        """(accepted, whether it reached anything new). Raises what the check raises."""
        self._fresh = False
        before = sys.gettrace()
        sys.settrace(self._on_call)
        try:
            return check(data), self._fresh
        finally:
            sys.settrace(before)

    @property
    def reached_new(self) -> bool:
        return self._fresh

    def _on_call(self, frame: FrameType, _event: str, _arg: Any) -> Any:
        code = frame.f_code
        number = self._codes.get(code, -1)
        if number == -1:
            is_ours = code.co_filename.startswith(_OURS)
            number = self._codes[code] = len(self._codes) if is_ours else None
        return None if number is None else self._tracer(number)

    def _tracer(self, code: int) -> Callable[..., Any]:
        last, arcs = 0, self.arcs

        def trace(frame: FrameType, event: str, _arg: Any) -> Any:
            nonlocal last
            if event == "line":
                arc = (code, last, frame.f_lineno)
                last = frame.f_lineno
                if arc not in arcs:
                    arcs.add(arc)
                    self._fresh = True
            return trace

        return trace


def play(target: Target, seed: int, tries: int, is_over: Callable[[], bool]) -> Played:
    """Try so many inputs, or until it is over."""
    rng = Random(f"{seed} {target.name}")  # noqa: S311 - it is to be the same again
    coverage, played = Coverage(), Played(target.name)
    corpus: list[bytes] = []
    first = list(target.seeds(rng))
    while played.tries < tries and not is_over() and len(played.findings) < FINDINGS_MAX:
        if played.tries < len(first):
            data = first[played.tries]
        else:
            data = mutated(_parent(corpus, first, rng), corpus, rng)
        played.tries += 1
        if _try(target, data, coverage, played) and len(corpus) < CORPUS_MAX:
            corpus.append(data)
    played.arcs, played.corpus = len(coverage.arcs), len(corpus)
    return played


def _parent(corpus: list[bytes], first: list[bytes], rng: Random) -> bytes:
    if corpus and rng.random() < FRESH_SHARE:
        return rng.choice(corpus[-FRESH:])
    return rng.choice(corpus or first or [b""])


def _try(target: Target, data: bytes, coverage: Coverage, played: Played) -> bool:
    """Whether the input is worth keeping."""
    try:
        accepted, is_new = coverage.run(target.check, data)
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        where = traceback.extract_tb(error.__traceback__)[-1]
        said = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
        if all(said != each.error for each in played.findings):
            played.findings.append(Finding(target.name, played.tries, data, said))
        return False
    played.accepted += accepted
    return is_new
