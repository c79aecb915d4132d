"""Steps that touch what the mesh does not know about: run here, in the real tree, one at a time."""

from __future__ import annotations

import attrs
import trio

from mesh.errors import MeshError, ShardTimedOut
from mesh.planners.base import Plan, Step
from mesh.planners.validate import host_path
from mesh.ports import Env, ProcessEnd, SpawnRequest


@attrs.frozen
class InPlaceEnd:
    """Either how the process ended, or why it did not come to an end of its own."""

    process: ProcessEnd | None
    error: MeshError | None
    seconds: float


class InPlace:
    """One run's steps in place. They exclude each other: they share the tree."""

    def __init__(self, env: Env, plan: Plan) -> None:
        self._env = env
        self._plan = plan
        self.turn = trio.Lock()

    async def run(self, step: Step, node: str) -> InPlaceEnd:
        """Run it to its end. Call with `turn` held. `node` is our name, for messages."""
        began_s = self._env.clock.monotonic()
        process: ProcessEnd | None = None
        error: MeshError | None = None
        try:
            with trio.fail_after(step.timeout_s):
                process = await self._env.exec.run_process(self._request(step))
        except trio.TooSlowError:
            error = ShardTimedOut(name=step.name, seconds=f"{step.timeout_s:g}", node=node)
        except MeshError as raised:
            error = raised
        return InPlaceEnd(process, error, self._env.clock.monotonic() - began_s)

    def _request(self, step: Step) -> SpawnRequest:
        cwd = host_path(step.cwd, self._plan.mounts) or str(self._plan.root)
        return SpawnRequest(step.argv, dict(step.env), cwd)
