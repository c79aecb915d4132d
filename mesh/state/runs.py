"""Runs and executions: who did what, for the audit and for `vitte dist status`.

Grow-only. A run is its origin's: how far it is, the origin says, and the highest state it has said
counts. An execution is whoever's ran a shard. Of a writer that signed two histories what it wrote
before the place of the fork is shown, marked as disputed; both histories are evidence in the log.

Not here: how a run goes (`mesh.node.runs`), and its whole record, which is a blob.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import attrs

from mesh.state.events import Execution, Executions, RunEvent
from mesh.state.ledger import Entry, Ledger
from mesh.state.windows import Moved, Windows
from mesh.types import NodeId, RunId

RunKey = tuple[NodeId, RunId]
"""Origin and run: nobody can speak of his run under another's name."""


@attrs.frozen
class Executed:
    """Somebody executed a shard."""

    node: NodeId
    execution: Execution
    disputed: bool
    """The node has signed two histories."""


@attrs.frozen
class RunSeen:
    """What the mesh knows of a run."""

    origin: NodeId
    run: RunId
    told: RunEvent | None
    """What its origin said last; None while only others spoke of it."""
    disputed: bool
    executions: tuple[Executed, ...]
    """By writer and place."""


class RunView:
    """See the module's head."""

    def __init__(self, windows: Windows) -> None:
        self._windows = windows
        self._entries: Ledger[RunKey] = Ledger()

    # -- asking ------------------------------------------------------------------------------------
    def get(self, origin: NodeId, run: RunId) -> RunSeen | None:
        entries = self._entries.counting((origin, run))
        if not entries:
            return None
        events = [(entry, entry.event) for entry in entries]
        told = [event for _, event in events if isinstance(event, RunEvent)]
        executions = tuple(
            Executed(entry.dot.feed.node, execution, self._is_disputed(entry))
            for entry, event in events
            if isinstance(event, Executions)
            for execution in event.shards
        )
        last = max(told, key=lambda event: event.state, default=None)
        return RunSeen(origin, run, last, self._windows.is_disputed(origin), executions)

    def all(self) -> list[RunKey]:
        """Runs of which something counts."""
        return sorted(key for key in self._entries if self._entries.counting(key))

    def _is_disputed(self, entry: Entry) -> bool:
        return self._windows.is_disputed(entry.dot.feed.node)

    # -- folding -----------------------------------------------------------------------------------
    def add(self, entry: Entry, event: RunEvent | Executions) -> RunKey:
        origin = event.origin if isinstance(event, Executions) else entry.dot.feed.node
        key = (origin, event.run)
        self._entries.add(key, entry)
        return key

    def moved(self, moved: Iterable[Moved]) -> set[RunKey]:
        return self._entries.moved(moved)

    # -- less --------------------------------------------------------------------------------------
    def kept(self, node: NodeId, is_wanted: Callable[[RunKey], bool]) -> Iterator[Entry]:
        """What a checkpoint of this node keeps of its own: all of the runs that are wanted."""
        for key in self.all():
            if is_wanted(key):
                for entry in self._entries.counting(key):
                    if entry.dot.feed.node == node:
                        yield entry

    def compact(self) -> None:
        self._entries.compact()
