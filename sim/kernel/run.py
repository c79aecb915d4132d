"""`run_world`: one async function, one seed, one world, from the first event to the last.

    async def story(world: World) -> int:
        await trio.sleep(3600)               # takes no time
        return 42

    done = run_world(7, story)
    done.value, done.digest, done.virtual_s, done.findings

The same seed and story give the same digest in every process. Exceptions of the story come out as
they are; exceptions in world events, which are those of the simulated program, become findings.
Raises Deadlock and Livelock when the story can go no further, TrioChanged for an unknown trio.
"""

from __future__ import annotations

import contextvars
import time
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Generic, TypeVar

import attrs
import trio

from sim.kernel import trio_internals
from sim.kernel.clock import SimClock
from sim.kernel.deadlock import describe_tasks
from sim.kernel.findings import Finding, Livelock
from sim.kernel.housekeeping import COLLECT_EVERY_EVENTS, Housekeeping, collector_off
from sim.kernel.order import SeededOrder
from sim.kernel.world import World

T = TypeVar("T")

_running: contextvars.ContextVar[Kernel] = contextvars.ContextVar("running")


@attrs.frozen
class RunConfig:
    """How the tasks of a run are ordered, and when garbage is collected."""

    order: str = "random"
    """One of `sim.kernel.order.ORDERS`."""
    collect_every_events: int = COLLECT_EVERY_EVENTS


@attrs.frozen
class Outcome(Generic[T]):
    """What a run has come to."""

    value: T
    digest: str
    """Of everything noted; two runs are the same when it is."""
    findings: tuple[Finding, ...]
    virtual_s: float
    events: int
    cpu_s: float
    """Really used. The only figure here that differs from run to run."""


@attrs.frozen(eq=False)
class Kernel:
    """What machines need of the run they live in, beside the world."""

    world: World
    clock: SimClock
    order: SeededOrder


def current_kernel() -> Kernel:
    """The run we are in. Raises LookupError outside of `run_world`."""
    return _running.get()


def run_world(
    seed: int, main: Callable[[World], Awaitable[T]], config: RunConfig | None = None
) -> Outcome[T]:
    """Run `main(world)` to its end. See the module's head."""
    return run_in(World(seed), main, config)


def run_in(
    world: World, main: Callable[[World], Awaitable[T]], config: RunConfig | None = None
) -> Outcome[T]:
    """The same in a world that has been prepared; a world is run once."""
    _check_once()
    config = config or RunConfig()
    world.on_error = lambda error: world.found("world", error)
    kernel = _kernel_of(world, config)
    begun_s = time.process_time()
    with collector_off(), trio_internals.scheduling_by(kernel.order):
        value = trio.run(
            _main, kernel, main, clock=kernel.clock, restrict_keyboard_interrupt_to_checkpoints=True
        )
    return Outcome(
        value=value,
        digest=world.trace_digest(),
        findings=tuple(world.findings),
        virtual_s=world.now_s,
        events=world.events_done,
        cpu_s=time.process_time() - begun_s,
    )


def _kernel_of(world: World, config: RunConfig) -> Kernel:
    order = SeededOrder(
        world.rng("order of tasks"), config.order, lambda turn: _livelock(clock, world, turn)
    )
    clock = SimClock(world, order, Housekeeping(config.collect_every_events))
    return Kernel(world, clock, order)


def _livelock(clock: SimClock, world: World, turn: list[trio.lowlevel.Task]) -> None:
    tasks = describe_tasks(turn)
    clock.stop(Livelock(f"tasks run on and on at {world.now_s} s, now these:\n{tasks}"))


async def _main(kernel: Kernel, main: Callable[[World], Awaitable[T]]) -> T:
    _running.set(kernel)
    value: list[T] = []
    with kernel.clock.scope:
        value.append(await main(kernel.world))
    if kernel.clock.stopped_by is not None:
        raise kernel.clock.stopped_by
    return value[0]


@cache
def _check_once() -> None:
    trio_internals.check()
