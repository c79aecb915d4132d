"""Tasks that run shards, each one shard after another.

Starting a task costs more than all else the loop does for a trivial shard, so a task that has ended
one shard takes the next at once, and in the same cancel scope, unless that one was spent. There are
never more tasks than shards under way.

Not here: who may run how much at once (the scheduler), and what running means.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable

import trio

End = Callable[[], None]
"""What is to be done when a shard has ended; it may start the next one."""
Job = Callable[[trio.CancelScope], Awaitable[End]]
"""Runs one shard; cancelling the scope until it has returned aborts it, without an end. Neither it
nor its end may raise anything but Cancelled."""


class Workers:
    """Starts jobs in a nursery, reusing the tasks whose jobs have ended."""

    def __init__(self) -> None:
        self._waiting: deque[Job] = deque()
        self._free = 0
        """Tasks that will look for a job without anybody's doing."""

    def start(self, nursery: trio.Nursery, job: Job) -> None:
        """Have `job` run, soon."""
        self._waiting.append(job)
        if len(self._waiting) > self._free:
            self._free += 1
            nursery.start_soon(self._work)

    async def _work(self) -> None:
        spent = True
        while spent:
            with trio.CancelScope() as scope:
                spent = await self._work_in(scope)
            if scope.cancelled_caught:
                self._free += 1

    async def _work_in(self, scope: trio.CancelScope) -> bool:
        """False when no job waits any more; True when the scope cannot be used again."""
        while not scope.cancel_called:
            self._free -= 1
            assert self._free >= 0, "every task that looks was counted as free"
            if not self._waiting:
                return False
            end = await self._waiting.popleft()(scope)
            self._free += 1  # before the end, which may bring the next job
            end()
        return True
