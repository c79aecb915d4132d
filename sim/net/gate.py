"""One task waits at a gate until an event of the world, or another task, opens it.

Less than a `trio.Event`: nothing is allocated, and it can be waited at again and again. Opening it
while nobody waits does nothing, so look at the state first, then wait, and look again.
"""

from __future__ import annotations

import trio
from outcome import Error


class Gate:
    """See the module's head. At most one task waits."""

    def __init__(self) -> None:
        self._task: trio.lowlevel.Task | None = None

    @property
    def waited_at(self) -> bool:
        return self._task is not None

    async def wait(self) -> None:
        """Return when opened. A cancellation point. Raises trio.BusyResourceError."""
        if self._task is not None:
            raise trio.BusyResourceError("another task is waiting here")
        await trio.lowlevel.checkpoint_if_cancelled()
        self._task = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    def open(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            trio.lowlevel.reschedule(task)

    def fail(self, error: Exception) -> None:
        """Have the waiting task raise `error`; there must be one."""
        task, self._task = self._task, None
        assert task is not None
        trio.lowlevel.reschedule(task, Error(error))

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED
