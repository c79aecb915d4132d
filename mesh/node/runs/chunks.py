"""Resolving ready steps in chunks: in a worker thread, with one look at the project for many steps.

    chunks = Chunks(ChunksConfig(resolver, plan, run_sync, stopped))
    answers = await chunks.resolve([3, 4], ready_since_s, now_s)

One for a task, which calls it for one chunk after the other. Deliberately not here: which steps are
ready, what is done with the answers (run).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs

from mesh.errors import MeshError
from mesh.planners.base import Plan
from mesh.planners.resolve import Glance, Resolved, Resolver
from mesh.ports import Exec

GLANCE_S = 0.5
"""What was looked up in the project is used again for this long, unless something was placed since
then that a step waited for: a hundred sources include the same headers."""

Answers = list[tuple[int, Resolved | MeshError]]


@attrs.frozen
class ChunksConfig:
    resolver: Resolver
    plan: Plan
    exec: Exec
    stopped: Callable[[], bool]
    """Asked between steps: a scan may take long, and then nobody waits for it."""


class Chunks:
    """See the module's head."""

    def __init__(self, config: ChunksConfig) -> None:
        self._config = config
        self._glance = Glance()
        self._begun_s = -math.inf

    async def resolve(self, chunk: list[int], ready_since_s: float, now_s: float) -> Answers:
        """The answers for steps of which the last became ready at `ready_since_s`."""
        if self._begun_s <= max(ready_since_s, now_s - GLANCE_S):
            self._glance, self._begun_s = Glance(), now_s
        return await self._config.exec.run_sync(self._resolve, chunk)

    def _resolve(self, chunk: list[int]) -> Answers:
        """In a worker thread."""
        answers: Answers = []
        for index in chunk:
            if self._config.stopped():
                break
            try:
                step = self._config.plan.steps[index]
                answers.append((index, self._config.resolver.resolve(step, self._glance)))
            except MeshError as error:
                answers.append((index, error))
        return answers
