"""Ninja's logs of one run, written while the run goes on: at its end only the last steps are left.

Rules
- Steps are written in the order in which they were done, by one thread at a time.
- A log that cannot be written is said once; the build is as good without it, only the next local
  ninja does more than it would have to.

Not here: what a log looks like (`mesh.planners.ninja.logs`).
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from mesh.node.runs.after import DoneStep, ProjectTree
from mesh.ports import Exec

BATCH = 16
"""Steps written in one go."""


class BuildLogs:
    """See the module's head."""

    def __init__(self, exec_port: Exec, tree: ProjectTree, warn: Callable[[str], None]) -> None:
        self._exec = exec_port
        self._tree = tree
        self._warn = warn
        self._waiting: list[DoneStep] = []
        self._turn = trio.Lock()
        self._failed = False

    def add(self, done: DoneStep) -> bool:
        """Take a step in; True when it is time to `write`."""
        self._waiting.append(done)
        return len(self._waiting) == BATCH

    async def write(self) -> None:
        """Write what waits. Not interrupted by cancellation once it has begun."""
        async with self._turn:
            batch, self._waiting = self._waiting, []
            if not batch or self._failed:
                return
            try:
                with trio.CancelScope(shield=True):
                    await self._exec.run_sync(self._tree.write_logs, batch)
            except OSError as error:
                self._failed = True
                self._warn(f"ninja's logs could not be written: {error}")
