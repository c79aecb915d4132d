"""Where machines stand: the nursery of their processes, and the gate through which their tasks go.

    async with Rack(world).powered() as rack: ...

One gate serves all machines of a run: it is in place only while some process is frozen, starved or
stuck, so that a healthy world pays nothing for it. What the program logs as an error with a
traceback is a bug that it survived: it becomes a finding of its machine.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from sim.kernel.run import Kernel, current_kernel
from sim.machine.life import Life, Main, running_life

PROGRAM_LOGGER = "mesh"


class Rack:
    """See the module's head."""

    def __init__(self) -> None:
        self.kernel: Kernel
        self._nursery: trio.Nursery
        self._lives: list[Life] = []

    @asynccontextmanager
    async def powered(self) -> AsyncIterator[Rack]:
        """While it lasts, machines can be started. At its end all processes are killed."""
        self.kernel = current_kernel()
        handler = _Errors(logging.ERROR)
        logger = logging.getLogger(PROGRAM_LOGGER)
        before = logger.propagate, logger.level
        logger.addHandler(handler)
        logger.propagate = False
        logger.setLevel(logging.ERROR)
        try:
            async with trio.open_nursery() as self._nursery:
                yield self
                self._end_all()
        finally:
            self.kernel.order.gate = None
            logger.removeHandler(handler)
            logger.propagate, level = before
            logger.setLevel(level)

    def begin(self, life: Life, main: Main) -> None:
        self._lives.append(life)
        life.begin(self._nursery, main)

    def gate_changed(self) -> None:
        """Some process may run now, or may not."""
        self._lives = [life for life in self._lives if life.alive]
        free = all(life.processor.free for life in self._lives)
        self.kernel.order.gate = None if free else _gate

    def _end_all(self) -> None:
        """All at one moment: nobody lives to see the others die."""
        lives = list(self._lives)
        for life in lives:
            life.processor.end()
        for life in lives:
            life.machine.crash()


def _gate(batch: list[Any]) -> None:
    """Take out of a turn the tasks whose process may not run."""
    batch[:] = [task for task in batch if not _held(task)]


def _held(task: trio.lowlevel.Task) -> bool:
    life = task.context.get(running_life)
    return life is not None and life.processor.holds(task)


class _Errors(logging.Handler):
    """Errors that the program has caught and logged."""

    def emit(self, record: logging.LogRecord) -> None:
        life = running_life.get()
        if life is None:
            return
        error = record.exc_info[1] if record.exc_info else None
        life.failed(error or LoggedError(record.getMessage()))


class LoggedError(Exception):
    """Something the program itself calls an error."""
