"""What a node has whether it is in a mesh or not: stores, caches, history, a runner of actions.

Opened once per process; saved when the process ends and after every run.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import attrs

from mesh.cas.blobs import BlobStore
from mesh.cas.filehash import FileHasher
from mesh.cas.files import read_cache
from mesh.errors import EnvironmentFault
from mesh.node.config import NodeConfig
from mesh.node.scans import DiskScans
from mesh.planners.systemheaders import IncludeMemory
from mesh.planners.toolchain import Toolchains
from mesh.ports import Env
from mesh.ports.actions import ActionRunner, ActionSetup
from mesh.scheduler.history import History

HASHES_FILE = "cache/filehashes"
HISTORY_FILE = "cache/history"
logger = logging.getLogger(__name__)


@attrs.frozen
class Workshop:
    """Shared by everything that runs or resolves actions."""

    env: Env
    store: BlobStore
    hasher: FileHasher
    history: History
    scans: DiskScans
    runner: ActionRunner
    toolchains: Toolchains
    includes: IncludeMemory

    def save(self) -> None:
        """Write down what makes the next start warm. Losing it costs time only: never raises."""
        try:
            self.store.save()
            self.env.disk.write(HASHES_FILE, self.hasher.dump())
            self.env.disk.write(HISTORY_FILE, self.history.dump())
        except (EnvironmentFault, OSError) as error:
            logger.warning("caches could not be saved: %s", error)


@asynccontextmanager
async def open_workshop(env: Env, config: NodeConfig) -> AsyncIterator[Workshop]:
    """Open stores and slots; everything is put away at the end."""
    store = BlobStore(env.disk)
    hasher = FileHasher(read_cache(env.disk, HASHES_FILE))
    setup = ActionSetup(config.slots, config.sandbox)
    async with env.actions.open(setup, store, hasher) as runner:
        workshop = Workshop(
            env=env,
            store=store,
            hasher=hasher,
            history=History.load(read_cache(env.disk, HISTORY_FILE)),
            scans=DiskScans(env.disk),
            runner=runner,
            toolchains=Toolchains(hasher),
            includes=IncludeMemory(),
        )
        try:
            yield workshop
        finally:
            workshop.save()
