"""`Actions` in the real world: sandboxed processes on real files (`mesh.executor.executor`), and
tools compared by the digests of their files (`mesh.executor.toolcheck`)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from mesh.action.model import Toolchain
from mesh.cas.blobs import BlobStore
from mesh.executor.executor import Executor, ExecutorConfig
from mesh.executor.toolcheck import ToolCheck
from mesh.ports import Clock, Exec
from mesh.ports.actions import (
    ActionSetup,
    ActionStore,
    Execution,
    FileDigests,
    Job,
    SandboxChoice,
)
from mesh.types import Digest


class SandboxedActions:
    """Implements `mesh.ports.actions.Actions`. `root` is a directory for the slots; on the same
    file system as the store, outputs move instead of being copied."""

    def __init__(self, exec_port: Exec, clock: Clock, root: Path) -> None:
        self._exec = exec_port
        self._clock = clock
        self._root = root

    @asynccontextmanager
    async def open(
        self, setup: ActionSetup, store: ActionStore, digests: FileDigests
    ) -> AsyncIterator[SandboxedRunner]:
        assert isinstance(store, BlobStore), "work trees are made of the store's real files"
        config = ExecutorConfig(self._root, setup.slots, setup.sandbox)
        async with Executor(self._exec, self._clock, store, config) as executor:
            yield SandboxedRunner(executor, ToolCheck(digests))


class SandboxedRunner:
    """Implements `mesh.ports.actions.ActionRunner`."""

    def __init__(self, executor: Executor, tools: ToolCheck) -> None:
        self._executor = executor
        self._tools = tools

    @property
    def sandbox(self) -> SandboxChoice:
        return self._executor.sandbox

    @property
    def busy(self) -> int:
        return self._executor.busy

    async def execute(self, job: Job) -> Execution:
        return await self._executor.execute(job)

    def tools_reason(self, toolchain: Toolchain, now_s: float, digest: Digest | None) -> str | None:
        return self._tools.reason(toolchain, now_s, digest)

    def tools_still(self, toolchain: Toolchain, digest: Digest) -> bool:
        return self._tools.still(toolchain, digest)
