"""`Actions`: running one action on this machine, and whether this machine has the tools for it.

In the real world a sandbox, a process and its files (`mesh.executor`); in the simulator a virtual
program that ends after virtual time with outputs that follow from its inputs. Whoever runs actions
sees the same three values: a `Job` goes in, an `Execution` or a MeshError comes out.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

import attrs

from mesh.action.model import Action, LogBlob, Toolchain, Tree, TreeEntry
from mesh.limits import SHARD_TIMEOUT_DEFAULT_S
from mesh.types import Digest

OnOutput = Callable[[int, bytes], None]
"""(1 stdout or 2 stderr, bytes)"""


@attrs.frozen
class Job:
    """One action to run. `tree` is what `action.inputs` names."""

    action: Action
    tree: Tree
    name: str = ""
    """The shard's, for error messages."""
    timeout_s: float = SHARD_TIMEOUT_DEFAULT_S
    memory_bytes: int = 0
    """Of all its processes together; 0 is no limit."""
    on_output: OnOutput | None = None
    """While it runs; must not block. None: only at the end."""
    on_phase: Callable[[int], None] | None = None
    """PHASE_RUNNING and PHASE_STORING of `mesh.wire.messages`."""
    tool_dirs: tuple[str, ...] = ()
    """More readable directories for this one; another set costs a fresh sandbox."""


@attrs.frozen
class Execution:
    """What happened. `outputs` is empty unless `exit_status` is 0; minus the signal when killed."""

    exit_status: int
    outputs: tuple[TreeEntry, ...]
    stdout: LogBlob
    stderr: LogBlob
    duration_ms: int
    sandbox: str
    cpu_ms: int = 0
    memory_peak_bytes: int = 0
    """Of the largest single process."""


@attrs.frozen
class SandboxWarning:
    """What is missing on this machine, and the command that changes it ("" when unknown)."""

    problem: str
    command: str = ""

    def __str__(self) -> str:
        return f"{self.problem}; fix: `{self.command}`" if self.command else self.problem


@attrs.frozen
class SandboxChoice:
    """`kind` is what a Result's `sandbox` says; "plain" (none at all) comes with a warning."""

    kind: str
    warning: SandboxWarning | None = None


@attrs.frozen
class ActionSetup:
    """How a node wants its actions to be run."""

    slots: int
    """At most this many at once; others wait in order of arrival."""
    sandbox: str = "auto"
    """"auto", "bwrap" or "plain"."""


class ActionStore(Protocol):
    """What running an action needs of the blob store; `mesh.cas.blobs.BlobStore` is one."""

    def has(self, digest: Digest) -> bool: ...

    def read(self, digest: Digest) -> bytes:
        """Verified. Raises BlobMissing (of `mesh.cas.blobs`), InputChanged."""
        ...

    def put(self, data: bytes) -> Digest:
        """Raises StoreFull."""
        ...


class FileDigests(Protocol):
    """Digests of this machine's own files, remembered; `mesh.cas.filehash.FileHasher` is one."""

    def digest(self, path: Path | str) -> Digest:
        """Raises InputChanged, OSError."""
        ...


class ActionRunner(Protocol):
    """Runs actions as long as its context lasts."""

    @property
    def sandbox(self) -> SandboxChoice:
        """What actions run in, on this machine."""
        ...

    @property
    def busy(self) -> int:
        """Slots that are working."""
        ...

    async def execute(self, job: Job) -> Execution:
        """Run one action whose input blobs are in the store.

        Any exit status is an Execution. Raises PathEscapes, BlobMissing, InputChanged, CannotPlace,
        StoreFull, CannotSpawn, ShardTimedOut, MemoryExceeded, OutputMissing, OutputTooLarge,
        OutputUnusable. When cancelled, nothing of the action runs on.
        """
        ...

    def tools_reason(self, toolchain: Toolchain, now_s: float, digest: Digest | None) -> str | None:
        """Why this machine's tools are not those of `toolchain` (whose digest is `digest` when the
        caller knows it), None when they are. May be remembered for seconds; `now_s` is monotonic.
        Blocking: call it in a thread."""
        ...

    def tools_still(self, toolchain: Toolchain, digest: Digest) -> bool:
        """Whether they are at this very moment; to be asked after an action. Blocking."""
        ...


class Actions(Protocol):
    def open(
        self, setup: ActionSetup, store: ActionStore, digests: FileDigests
    ) -> AbstractAsyncContextManager[ActionRunner]:
        """Get ready: find the sandbox, make the slots. Raises CannotSpawn when the sandbox that
        was asked for is not to be had. Leaving ends everything that runs."""
        ...
