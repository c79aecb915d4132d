"""Where tasks are, in words: the reports of deadlocks and livelocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import trio

FRAMES_MAX = 4
TASKS_MAX = 60


def describe_waiting() -> str:
    """One paragraph per task, innermost frame last, trio's own left out. Only inside `trio.run`."""
    return f"nothing will ever happen; these tasks wait:\n{describe_tasks(all_tasks())}"


def all_tasks() -> list[trio.lowlevel.Task]:
    """Everything that somebody started and that has not ended. Only inside `trio.run`."""
    root = trio.lowlevel.current_root_task()
    return list(_below(root)) if root is not None else []


def describe_tasks(tasks: Sequence[trio.lowlevel.Task]) -> str:
    """The same for some tasks."""
    lines = []
    for task in tasks[:TASKS_MAX]:
        lines.append(f"  {task.name}")
        frames = [
            (frame.f_code, line)
            for frame, line in task.iter_await_frames()
            if not frame.f_globals.get("__name__", "").startswith("trio.")
        ]
        for code, line in frames[-FRAMES_MAX:]:
            lines.append(f"    {code.co_filename}:{line} in {code.co_name}")
    if len(tasks) > TASKS_MAX:
        lines.append(f"  ... and {len(tasks) - TASKS_MAX} more")
    return "\n".join(lines)


def _below(task: trio.lowlevel.Task) -> Iterator[trio.lowlevel.Task]:
    """All tasks that somebody wrote: not trio's own, which have names in angle brackets."""
    for nursery in task.child_nurseries:
        for child in sorted(nursery.child_tasks, key=lambda each: each.name):
            if not child.name.startswith("<"):
                yield child
            yield from _below(child)
