"""One life of a machine's process: its ports, and how it ends.

Rules: a process is ended from outside in one moment. First its ports stop working, then its tasks
are cancelled, so that nothing a dying program does in a `finally` reaches the world. What it has
written stays on the disk. An exception nobody catches in it is a finding and ends it, as it would
a real process. Deliberately not here: what survives a life (`machine`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING

import trio

from mesh.ports import Env
from sim.kernel.deadlock import all_tasks
from sim.machine.actions import SimActions
from sim.machine.clock import SimClock
from sim.machine.control import SimControl
from sim.machine.entropy import SimEntropy
from sim.machine.exec import SimExec
from sim.machine.processor import Processor
from sim.machine.readings import SimReadings
from sim.serial import SimSerial

if TYPE_CHECKING:
    from sim.kernel.run import Kernel
    from sim.machine.machine import Machine

Main = Callable[[Env], Awaitable[None]]
"""The program that a process runs."""

running_life: ContextVar[Life | None] = ContextVar("running_life", default=None)
"""Whose task or callback this is; None outside of machines."""

FIRST_PROCESS_ID = 1000


def tasks_of_the_dead() -> list[trio.lowlevel.Task]:
    """Tasks of processes that have ended. A task needs a turn to unwind, and no time."""
    found = []
    for task in all_tasks():
        life = task.context.get(running_life)
        if life is not None and not life.alive:
            found.append(task)
    return found


class Life:
    """See the module's head. Made by `Machine.start`."""

    def __init__(self, machine: Machine, number: int, kernel: Kernel) -> None:
        self.machine = machine
        self.number = number
        self._world = kernel.world
        self.processor = Processor(kernel, machine.clock.monotonic)
        self.processor.context.run(running_life.set, self)
        self.processor.on_error = self.failed
        self.clock = SimClock(kernel.world, machine.clock, self.processor)
        self.exec = SimExec(self.clock, self.processor, machine.programs)
        self.sockets = machine.host.boot(self.processor)
        self.disk = machine.disk.open(self.exec.stall)
        self.control = SimControl()
        self.serial = SimSerial(machine.plugs)
        self._scope = trio.CancelScope()
        self.ended = trio.Event()
        self.env = self._make_env()

    @property
    def alive(self) -> bool:
        return self.processor.alive

    def _make_env(self) -> Env:
        machine = self.machine
        actions = SimActions(self.clock, machine.body)
        process_id = FIRST_PROCESS_ID + self.number
        readings = SimReadings(process_id, machine.body, self.processor, self.clock.lag_s)

        def slots_are(busy: Callable[[], int]) -> None:
            readings.busy = busy

        actions.on_busy = slots_are
        return Env(
            clock=self.clock,
            entropy=SimEntropy(self._world, f"{machine.name} life {self.number}"),
            datagrams=self.sockets.datagrams,
            streams=self.sockets.streams,
            disk=self.disk,
            exec=self.exec,
            discovery=self.sockets.discovery,
            actions=actions,
            control=self.control,
            readings=readings,
            serial=self.serial,
        )

    def begin(self, nursery: trio.Nursery, main: Main) -> None:
        """Start the program as tasks of this life."""
        self.processor.context.run(nursery.start_soon, self._run, main)

    def end(self) -> None:
        """Kill it. Nothing that it does from now on has any effect; harmless when it has ended."""
        if self._scope.cancel_called:
            return
        self.sockets.close()
        self.serial.close_all()
        self.disk.detach()
        self.processor.end()
        self.clock.end()
        self._scope.cancel()

    def failed(self, error: BaseException) -> None:
        """An exception that nobody has caught."""
        if self.alive:
            self._world.found(self.machine.name, error)

    async def _run(self, main: Main) -> None:
        try:
            with self._scope:
                await main(self.env)
        except BaseExceptionGroup as group:  # of these, what is cancelled from outside goes on
            bugs, others = group.split(Exception)
            if bugs is not None:
                self.failed(bugs)
            if others is not None:
                raise others from None
        except Exception as error:  # noqa: BLE001 - it ends this process, not the world
            self.failed(error)
        finally:
            self.end()
            self.ended.set()
            self.machine.life_over(self)
