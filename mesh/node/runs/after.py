"""What a run leaves in the project: placed outputs with sensible times, and ninja's own logs, so
that a local `ninja` or `make` afterwards finds nothing to do. Runs in worker threads.

A file that already holds the right bytes is left alone, so that a warm run writes nothing; only
when it is older than what it was made from does it get the present time.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence

import attrs

from mesh.action.model import TreeEntry
from mesh.cas.place import Placer
from mesh.planners.base import Plan, Step
from mesh.planners.ninja.logs import DEPS_NAME, LOG_NAME, LogWriter, Recorded
from mesh.planners.resolve import Resolved
from mesh.planners.validate import host_path
from mesh.ports.real.files import file_time_ns


@attrs.frozen
class DoneStep:
    """A step whose outputs are in place. Times count from the start of the run."""

    step: Step
    resolved: Resolved
    start_ms: int
    end_ms: int


class ProjectTree:
    """One run's hands in the project. `place` may be called from several threads."""

    def __init__(self, plan: Plan, placer: Placer) -> None:
        self._plan = plan
        self._placer = placer
        self._lock = threading.Lock()
        self._to_record: set[str] = set()
        self._writer = LogWriter(plan) if plan.build_dir is not None else None
        self._has_logs = plan.build_dir is not None and all(
            (plan.build_dir / name).exists() for name in (LOG_NAME, DEPS_NAME)
        )

    def place(self, step: Step, resolved: Resolved, entries: Sequence[TreeEntry]) -> None:
        """Put a step's outputs where the user expects them. Raises what `Placer.place` raises."""
        depfile = step.depfile if step.ninja is not None and step.ninja.deps == "gcc" else ""
        outputs = [entry for entry in entries if entry.path != depfile]
        placed = self._placer.place(outputs, keep_unchanged=True)
        for path in placed.kept:
            self._freshen(path, resolved.newest_input_ns)
        if step.ninja is None or (not placed.written and self._has_logs):
            return
        with self._lock:
            self._to_record.add(step.name)
        if depfile:  # ninja's deps log takes it in and removes it
            self._placer.place([entry for entry in entries if entry.path == depfile])

    def in_place(self, step: Step) -> None:
        """A step ran here, in the tree itself."""
        if step.ninja is not None:
            with self._lock:
                self._to_record.add(step.name)

    def write_logs(self, done: Sequence[DoneStep]) -> None:
        """Tell ninja what was built, one call at a time. Raises OSError."""
        if self._writer is None:
            return
        rows = [
            Recorded(
                each.step.ninja,
                each.start_ms,
                each.end_ms,
                reads=each.resolved.reads,
                newest_input_ns=each.resolved.newest_input_ns,
            )
            for each in done
            if each.step.ninja is not None and each.step.name in self._to_record
        ]
        if rows:
            self._writer.write(rows)

    def _freshen(self, path: str, newest_input_ns: int) -> None:
        host = host_path(path, self._plan.mounts)
        assert host is not None, "the placer has just been there"
        if os.lstat(host).st_mtime_ns < newest_input_ns:
            now_ns = max(file_time_ns(), newest_input_ns)
            os.utime(host, ns=(now_ns, now_ns), follow_symlinks=False)
