"""Every private name of trio that the simulator touches, in one place.

trio has no public way to choose the order of runnable tasks, to see whether any is runnable, or to
hold one back. These are the names (all read in trio 0.27 to 0.35), and `check` proves at the start
that they still mean what they meant: by looking, and by running a few tasks in an order of ours.

    _run._r.shuffle(batch)                     called once per turn with all runnable tasks
    _run._ALLOW_DETERMINISTIC_SCHEDULING       sorts that batch by task age first
    runner.runq                                what will be in the next batch
    runner.deadlines.next_deadline()           of all cancel scopes
    runner.waiting_for_idle                    tasks in `wait_all_tasks_blocked`
    runner.entry_queue.{queue,idempotent_queue}  calls from signal handlers and threads; shutdown
    task._counter                              age of a task, unique in the process

trio takes tasks from the end of a batch, so the first one to run is the last in the list.
"""

from __future__ import annotations

from collections.abc import Iterator, Sized
from contextlib import contextmanager
from typing import Any, Protocol

import trio
from trio._core import _run

TRIED = "0.27 to 0.35"
PROBE_S = 5.0


class TrioChanged(Exception):
    """The installed trio is not one that the simulator understands."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what}: the simulator understands trio {TRIED}, and this is {trio.__version__}"
        )


class Order(Protocol):
    """Decides in which order the runnable tasks of one turn take their steps."""

    def shuffle(self, batch: list[Any]) -> None:
        """Arrange `batch`, oldest task first when given, in place; the last one runs first."""
        ...

    def random(self) -> float: ...

    def uniform(self, low: float, high: float) -> float: ...


@contextmanager
def scheduling_by(order: Order) -> Iterator[None]:
    """While the context lasts, `trio.run` orders tasks by `order`."""
    old = _run._r, _run._ALLOW_DETERMINISTIC_SCHEDULING
    _run._r, _run._ALLOW_DETERMINISTIC_SCHEDULING = order, True  # type: ignore[assignment, misc]
    try:
        yield
    finally:
        _run._r, _run._ALLOW_DETERMINISTIC_SCHEDULING = old  # type: ignore[misc]


def age_of(task: trio.lowlevel.Task) -> int:
    return task._counter


class RunnerView:
    """What the clock needs to see of the run it drives. Made inside that run."""

    def __init__(self) -> None:
        runner = _run.GLOBAL_RUN_CONTEXT.runner
        self._runner = runner
        self._queue = runner.entry_queue.queue
        self._idempotent = runner.entry_queue.idempotent_queue
        self.runnable = runner.runq
        """A deque, empty when all tasks wait."""
        self.next_deadline_s = runner.deadlines.next_deadline

    @property
    def call_queues(self) -> tuple[Sized, Sized]:
        """Where `calls_wait` looks, for a loop that looks often."""
        return self._queue, self._idempotent

    def calls_wait(self) -> bool:
        """Whether a signal handler or trio's own shutdown has a call for the loop."""
        return bool(self._queue or self._idempotent)

    def someone_waits_for_idle(self) -> bool:
        return bool(self._runner.waiting_for_idle)

    def make_runnable(self, task: trio.lowlevel.Task) -> None:
        """Put back a task that an `Order` took out of its batch."""
        self.runnable.append(task)


def check() -> None:
    """Raise TrioChanged unless the names above exist and do what the simulator needs."""
    for owner, name in (
        (_run, "_r"),
        (_run, "_ALLOW_DETERMINISTIC_SCHEDULING"),
        (_run, "GLOBAL_RUN_CONTEXT"),
    ):
        if not hasattr(owner, name):
            raise TrioChanged(f"{owner.__name__} has no {name}")
    probe = _Probe()
    with scheduling_by(probe):
        try:
            seen = trio.run(_try_names, probe)
        except (AttributeError, KeyError, TypeError) as error:
            raise TrioChanged(str(error)) from error
    if seen != [3, 2, 1, 0]:
        raise TrioChanged(f"four tasks asked to run youngest first ran as {seen}")
    if not probe.held:
        raise TrioChanged("the order of runnable tasks is not asked for")


class _Probe:
    """Youngest first: trio takes from the end, and gives us the oldest first."""

    def __init__(self) -> None:
        self.hold: Any = None
        self.held = False

    def shuffle(self, batch: list[Any]) -> None:
        if self.hold in batch:
            batch.remove(self.hold)
            self.held = True

    def random(self) -> float:
        return 0.0

    def uniform(self, low: float, _high: float) -> float:
        return low


async def _try_names(probe: _Probe) -> list[int]:
    view, seen = RunnerView(), list[int]()

    async def tell(number: int) -> None:
        seen.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(4):
            nursery.start_soon(tell, number)
    view.next_deadline_s()
    assert not view.someone_waits_for_idle()
    with trio.fail_after(PROBE_S):  # held back, until the call puts us back
        probe.hold = trio.lowlevel.current_task()
        trio.lowlevel.current_trio_token().run_sync_soon(lambda: _let_go(probe, view))
        assert view.calls_wait()
        await trio.lowlevel.checkpoint()
    return seen


def _let_go(probe: _Probe, view: RunnerView) -> None:
    task, probe.hold = probe.hold, None
    if probe.held:
        view.make_runnable(task)
