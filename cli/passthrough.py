"""Handing commands that are not ours to the next `vitte` on PATH.

The Vitte language ships a tool of the same name. Ours becomes it by exec, so that signals, terminal
and exit status are the other's own. We never become ourselves: every one of us that was passed
through is remembered, by real path, in VITTE_PASSED_THROUGH, so that two installations of
vitte-mesh on one PATH cannot hand a command back and forth.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Collection, Sequence
from typing import NoReturn

from cli.i18n import user_environment
from mesh.errors import NoPassThrough

NAME = "vitte"
VISITED = "VITTE_PASSED_THROUGH"
DIST_COMMANDS = frozenset({"build", "test", "bench"})
HELP_FLAGS = frozenset({"--help", "-h"})
OWN_CODE = re.compile(r"^VM\d+$", re.IGNORECASE)


def is_ours(args: Sequence[str], ours: Collection[str]) -> bool:
    """Whether `args` (from the subcommand on) is a command of vitte-mesh.

    `build`, `test` and `bench` are with `--dist`; `explain` is with a code like VM204.
    """
    name, rest = args[0], args[1:]
    if name.startswith("-"):
        return True  # not a subcommand: click knows what to say
    if name in DIST_COMMANDS:
        flags = rest[: rest.index("--")] if "--" in rest else rest
        return "--dist" in flags
    if name == "explain":
        words = [word for word in rest if not word.startswith("-")]
        return any(OWN_CODE.match(word) for word in words) or bool(HELP_FLAGS.intersection(rest))
    return name in ours


def hand_over(args: Sequence[str]) -> NoReturn:
    """Become the next `vitte` with these arguments. Raises NoPassThrough when there is none."""
    visited = _visited()
    target = find_next(os.environ.get("PATH", ""), visited)
    if target is None:
        raise NoPassThrough(name=_called(args))
    environment = user_environment()
    environment[VISITED] = os.pathsep.join(sorted(visited))
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(target, [NAME, *args], environment)  # noqa: S606 - no shell is wanted


def find_next(search_path: str, visited: Collection[str]) -> str | None:
    """The first `vitte` on the search path that is not one of us."""
    from pathlib import Path

    for directory in search_path.split(os.pathsep):
        candidate = Path(directory or ".") / NAME
        usable = os.access(candidate, os.X_OK) and candidate.is_file()
        if usable and str(candidate.resolve()) not in visited:
            return str(candidate)
    return None


def _visited() -> set[str]:
    """Real paths of ourselves and of all that passed this command on before us."""
    from pathlib import Path

    before = [path for path in os.environ.get(VISITED, "").split(os.pathsep) if path]
    script = Path(sys.argv[0])
    ourselves = [script, Path(sys.executable).parent / NAME, Path(sys.prefix) / "bin" / NAME]
    return {*before, *(str(path.resolve()) for path in ourselves)}


def _called(args: Sequence[str]) -> str:
    words = [NAME, args[0]]
    if args[0] == "explain" and len(args) > 1:
        words.append(args[1])
    return " ".join(words)
