"""What a node has whether it is in a mesh or not: stores, caches, history, the executor.

Opened once per process; saved when the process ends and after every run.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs

from mesh.cas.blobs import BlobStore
from mesh.cas.filehash import FileHasher
from mesh.cas.results import ResultCache
from mesh.executor.executor import Executor, ExecutorConfig
from mesh.executor.toolcheck import ToolCheck
from mesh.node.config import NodeConfig
from mesh.node.scans import DiskScans
from mesh.ports import Env
from mesh.scheduler.history import History

HASHES_FILE = "cache/filehashes"
HISTORY_FILE = "cache/history"
SLOTS_DIR = "store/slots"


@attrs.frozen
class Workshop:
    """Shared by everything that runs or resolves actions."""

    env: Env
    store: BlobStore
    results: ResultCache
    hasher: FileHasher
    history: History
    scans: DiskScans
    tools: ToolCheck
    executor: Executor

    def save(self) -> None:
        """Write down what makes the next start warm. Losing it costs time only."""
        self.env.disk.write(HASHES_FILE, self.hasher.dump())
        self.env.disk.write(HISTORY_FILE, self.history.dump())


@asynccontextmanager
async def open_workshop(env: Env, config: NodeConfig) -> AsyncIterator[Workshop]:
    """Open stores and slots below the home; everything is put away at the end."""
    store = BlobStore(env.disk)
    hasher = FileHasher(env.disk.read(HASHES_FILE))
    slots = ExecutorConfig(
        slots=config.slots, root=env.disk.path(SLOTS_DIR), sandbox=config.sandbox
    )
    async with Executor(env, store, slots) as executor:
        workshop = Workshop(
            env=env,
            store=store,
            results=ResultCache(env.disk),
            hasher=hasher,
            history=History.load(env.disk.read(HISTORY_FILE)),
            scans=DiskScans(env.disk),
            tools=ToolCheck(hasher),
            executor=executor,
        )
        try:
            yield workshop
        finally:
            workshop.save()
