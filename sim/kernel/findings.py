"""What a run shows to be wrong, and the ways in which a run itself cannot go on.

A finding is a bug of the simulated program: an exception nobody caught. It ends nothing; the run
goes on as the program would, and whoever started it looks at the findings at the end.
"""

from __future__ import annotations

import traceback

import attrs

FINDINGS_MAX = 1000
"""Kept of one run; a bug in a loop has been understood by then."""


@attrs.frozen
class Finding:
    """One thing that went wrong in the simulated program."""

    at_s: float
    where: str
    """The machine, or what of the world called."""
    what: str
    """The exception's class and text."""
    detail: str = ""
    """The traceback."""


class Deadlock(Exception):
    """Every task waits and nothing will ever happen. The text says where each one waits."""


class Livelock(Exception):
    """Time stands still while work goes on and on."""


def finding_of(at_s: float, where: str, error: BaseException) -> Finding:
    lines = traceback.format_exception(error)
    return Finding(at_s, where, f"{type(error).__name__}: {error}", "".join(lines))
