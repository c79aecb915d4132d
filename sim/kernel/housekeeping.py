"""Garbage at fixed points of a run.

Python collects cyclic garbage whenever enough has been made, and runs finalizers then: at a point
that depends on everything else in the process. So the collector is off while a world runs, and is
called after every so many world events, which is the same point every time.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

COLLECT_EVERY_EVENTS = 200_000
GROWN_BY = 1.25
"""So much more than after the last collection, and it is time for another."""


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


class _Heap:
    """How many blocks of memory the last full collection left."""

    blocks = 0


@contextmanager
def collector_off() -> Iterator[None]:
    """No collection but ours; what exists already is left alone, so that ours are quick.

    Garbage of earlier runs lies among that and is not touched, so when it goes is nobody's
    business: before this run, if there has come to be much of it. (Going through all that a
    process with many modules holds takes longer than most runs of tests do.)"""
    was_on = gc.isenabled()
    gc.disable()
    if sys.getallocatedblocks() > GROWN_BY * _Heap.blocks:
        gc.collect()
        _Heap.blocks = sys.getallocatedblocks()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_on:
            gc.enable()
