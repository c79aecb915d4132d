"""Garbage at fixed points of a run.

Python collects cyclic garbage whenever enough has been made, and runs finalizers then: at a point
that depends on everything else in the process. So the collector is off while a world runs, and is
called after every so many world events, which is the same point every time.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

COLLECT_EVERY_EVENTS = 200_000


class Housekeeping:
    """Collects when it is told how many events have been."""

    def __init__(self, every_events: int = COLLECT_EVERY_EVENTS) -> None:
        self._every_events = every_events
        self._next = every_events
        self.collections = 0

    def tidy(self, events_done: int) -> None:
        if events_done >= self._next:
            self._next = events_done + self._every_events
            self.collections += 1
            gc.collect()


@contextmanager
def collector_off() -> Iterator[None]:
    """No collection but ours; what exists already is left alone, so that ours are quick."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_on:
            gc.enable()
