"""What is written into the project after a run, besides outputs: ninja's own logs, so that a local
`ninja` afterwards finds nothing to do. Runs in a worker thread."""

from __future__ import annotations

from mesh.planners.base import Plan, Step
from mesh.planners.resolve import Resolved


def write_build_logs(plan: Plan, done: list[tuple[Step, Resolved, int, int]]) -> None:
    """Tell the project's own build tool what was placed. `done`: (step, resolved, start, end ms)."""
    del plan, done
