"""The interface between projects and the rest: `Planner`, `Plan`, `Step`.

A planner looks at a directory, says whether it knows how to build/test/bench it, and returns a
graph of steps. It never runs the steps. Third parties add planners through the entry-point group
`vitte_mesh.planners`; each entry names a class with the shape of `Planner`.

A step's inputs are files that exist before the run or that other steps make. Because a step's
inputs may be made by other steps, its *action* (digests of all inputs) can only be computed once
its needs are done: `mesh.planners.resolve` does that, and asks the compiler for headers when the
step has a `scan`.

Planners are synchronous and may read files and run short probes (`ninja --version`); they run in a
worker thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Protocol

import attrs

from mesh.action.model import PROJECT_MOUNT, OutputSpec
from mesh.limits import GIB, SHARD_TIMEOUT_DEFAULT_S


class Kind(Enum):
    """What the user asked for."""

    BUILD = "build"
    TEST = "test"
    BENCH = "bench"
    COMMAND = "command"


@attrs.frozen
class PlanRequest:
    """One `vitte dist run`. Paths are absolute; `env` is the caller's environment."""

    kind: Kind
    cwd: Path
    argv: tuple[str, ...] = ()
    """The command, for Kind.COMMAND."""
    targets: tuple[str, ...] = ()
    """Names of steps, outputs or packages; empty means the project's default."""
    outputs: tuple[str, ...] = ()
    """For Kind.COMMAND: paths, relative to `cwd`, to bring back; one that ends in "/" is a
    directory."""
    cache: bool = False
    """For Kind.COMMAND: the caller vouches that the command is a pure function of the tree."""
    env: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class Mount:
    """A directory of this machine and where the actions see it. `host == inside` when commands
    hold absolute paths."""

    host: Path
    inside: str = PROJECT_MOUNT


@attrs.frozen
class DepScan:
    """How to ask the compiler which headers a step reads.

    `argv` prints a make rule on stdout (like `cc -M ...`), run in the step's `cwd` on this machine.
    """

    argv: tuple[str, ...]
    source: str
    """The translation unit, as a path inside the sandbox."""
    include_dirs: tuple[str, ...] = ()
    """Directories on the include path that are inside mounts: a new file in one of them makes a
    cached scan stale, because it could shadow a header."""


@attrs.frozen
class NinjaNote:
    """What `.ninja_log` and `.ninja_deps` need so that a local ninja finds nothing to do."""

    outputs: tuple[str, ...]
    """As written in build.ninja."""
    command: str
    """The evaluated command plus the response file's content, as ninja hashes it."""
    inputs: tuple[str, ...] = ()
    """The manifest's inputs whose times count (order-only ones do not), phony ones replaced by
    what they stand for."""
    deps: str = ""
    """The rule's `deps` value: "gcc" wants an entry in .ninja_deps."""
    depfile: str = ""
    restat: bool = False


@attrs.frozen
class Step:
    """One shard-to-be. All paths are inside-the-sandbox absolute paths."""

    name: str
    """Unique in the plan, and stable between runs: history is kept under it."""
    argv: tuple[str, ...]
    cwd: str
    env: tuple[tuple[str, str], ...] = ()
    inputs: tuple[str, ...] = ()
    """Files (or directories, meaning everything below) read by the command."""
    needs: tuple[str, ...] = ()
    """Names of steps that must be done first."""
    outputs: tuple[OutputSpec, ...] = ()
    tools: tuple[str, ...] = ()
    """Programs the command runs (names or absolute paths), for the toolchain fingerprint."""
    scan: DepScan | None = None
    timeout_s: float = SHARD_TIMEOUT_DEFAULT_S
    memory_bytes: int = 8 * GIB
    cacheable: bool = True
    local: bool = False
    """Run on the origin only, in place, in the real project tree and without a sandbox: it
    touches something that the mesh does not know about."""
    display: str = ""
    """What people see while it runs; the name when empty."""
    response_files: tuple[tuple[str, bytes], ...] = ()
    """Files the planner makes up for the command: (path, content)."""
    depfile: str = ""
    """Path of the make rule file the command itself writes, if any (also an output)."""
    ninja: NinjaNote | None = None


@attrs.frozen
class Plan:
    """A closed graph: every name in a step's `needs` is a step of the plan."""

    planner: str
    root: Path
    mounts: tuple[Mount, ...]
    steps: tuple[Step, ...]
    explanation: str
    """One sentence: what was found and used."""
    build_dir: Path | None = None
    """For Ninja: where the logs are."""


@attrs.frozen
class NotMine:
    """Why a planner does not apply: `looked_for` ends up in the error when none does."""

    looked_for: str


def counted(number: int, word: str) -> str:
    """`1 step`, `2 steps`: for explanations."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


class Planner(Protocol):
    name: str

    def plan(self, request: PlanRequest) -> Plan | NotMine:
        """Raises `UserError`s (ProjectFileError, PlanCycle...) when the project is its own but
        wrong."""
        ...
