"""trio on virtual time: jumps, order, the same every time, and words for being stuck."""

from __future__ import annotations

import gc
import itertools
import os
import signal
import subprocess
import sys
import threading

import pytest
import trio
import trio.testing

from sim.kernel import trio_internals
from sim.kernel.findings import Deadlock, Livelock
from sim.kernel.nanoseconds import to_ns, to_s
from sim.kernel.order import ORDERS
from sim.kernel.run import RunConfig, current_kernel, run_world
from sim.kernel.world import World


def test_a_virtual_year_takes_no_time() -> None:
    async def story(world: World) -> float:
        await trio.sleep(365 * 86_400)
        return trio.current_time()

    done = run_world(1, story)
    assert done.value == done.virtual_s == 365 * 86_400
    assert done.cpu_s < 5


def test_what_arrives_at_the_very_deadline_is_there_before_the_timeout() -> None:
    async def story(world: World) -> bool:
        arrived = trio.Event()
        world.at(1.0, arrived.set)
        with trio.move_on_after(1.0):
            await arrived.wait()
        return arrived.is_set()

    assert run_world(1, story).value


def test_an_event_may_move_a_deadline() -> None:
    async def story(world: World) -> float:
        with trio.move_on_after(10.0) as scope:
            world.at(1.0, lambda: setattr(scope, "deadline", 2.0))
            world.at(5.0, lambda: None)
            await trio.sleep_forever()
        return world.now_s

    assert run_world(1, story).value == 2.0


@pytest.mark.parametrize("time_s", [0.1, 1 / 3, 1e-9, 0.3 + 0.6, 123_456.789, 86_400 * 365 + 0.7])
def test_a_time_in_seconds_has_passed_when_its_nanosecond_is_reached(time_s: float) -> None:
    assert to_s(to_ns(time_s)) >= time_s
    assert to_s(to_ns(time_s) - 100) < time_s


def test_waiting_until_all_tasks_are_blocked_takes_no_virtual_time() -> None:
    async def story(world: World) -> float:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 60)
            await trio.testing.wait_all_tasks_blocked()
            before_s = world.now_s
            nursery.cancel_scope.cancel()
        return before_s

    assert run_world(1, story).value == 0.0


def test_a_real_thread_takes_no_virtual_time() -> None:
    go = threading.Event()

    async def story(world: World) -> float:
        world.at(5.0, lambda: None)
        world.after(0.0, go.set)
        with current_kernel().clock.real_work():
            await trio.to_thread.run_sync(threading.Event().wait, 0.02)
        return world.now_s

    assert run_world(1, story).value == 0.0


# -- order ---------------------------------------------------------------------------------------
async def race(world: World) -> str:
    """The order in which ten tasks get the processor, over ten turns."""
    seen: list[str] = []

    async def run(name: int) -> None:
        for _ in range(10):
            seen.append(str(name))
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        for name in range(10):
            nursery.start_soon(run, name)
    world.note(*seen)
    return "".join(seen)


@pytest.mark.parametrize("order", ORDERS)
def test_the_same_seed_is_the_same_order_and_another_seed_another(order: str) -> None:
    config = RunConfig(order=order)
    one, again, other = (run_world(seed, race, config) for seed in (1, 1, 2))
    assert (one.value, one.digest) == (again.value, again.digest)
    assert (one.value == other.value) == (order == "fifo")
    assert one.digest != other.digest


def test_fifo_is_the_order_of_their_making() -> None:
    assert run_world(1, race, RunConfig(order="fifo")).value == "0123456789" * 10


def test_ranks_last_for_many_turns() -> None:
    turns = run_world(1, race, RunConfig(order="pct")).value
    assert len({turns[at : at + 10] for at in range(0, 100, 10)}) <= 2


MANY_TASKS = """
import trio
from sim.kernel.run import run_world

async def story(world):
    async def wait(number):
        try:
            await trio.sleep(1000 if number % 2 else number % 7)
        finally:
            world.note(number, world.now_s)
    with trio.move_on_after(3):
        async with trio.open_nursery() as nursery:
            for number in range(1000):
                nursery.start_soon(wait, number)

print(run_world(5, story).digest)
"""


def test_hash_seeds_and_addresses_change_nothing() -> None:
    """A thousand siblings cancelled at once: trio walks a set of them, ordered by address."""
    digests = set()
    for hash_seed in ("0", "1", "77"):
        done = subprocess.run(
            [sys.executable, "-c", MANY_TASKS],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout)
    assert len(digests) == 1, digests


# -- what goes wrong -----------------------------------------------------------------------------
def test_an_exception_in_an_event_is_a_finding_and_the_run_goes_on() -> None:
    async def story(world: World) -> float:
        world.at(1.0, lambda: {}[1])
        await trio.sleep(2.0)
        return world.now_s

    done = run_world(1, story)
    assert done.value == 2.0
    assert [(each.at_s, each.where) for each in done.findings] == [(1.0, "world")]
    assert "KeyError" in done.findings[0].what
    assert "lambda" in done.findings[0].detail


def test_an_exception_of_the_story_comes_out_as_it_is() -> None:
    async def story(world: World) -> None:
        await trio.sleep(1.0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_world(1, story)


def test_a_deadlock_says_who_waits_where() -> None:
    async def wait_for_nobody() -> None:
        await trio.Event().wait()

    async def story(world: World) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait_for_nobody)

    with pytest.raises(Deadlock, match="wait_for_nobody") as caught:
        run_world(1, story)
    assert "test_sim_kernel.py" in str(caught.value)


def test_a_loop_of_tasks_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.kernel.order.TURNS_AT_ONCE_MAX", 1000)

    async def story(world: World) -> None:
        while True:
            await trio.lowlevel.checkpoint()

    with pytest.raises(Livelock):
        run_world(1, story)


def test_a_loop_of_events_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.kernel.world.EVENTS_AT_ONCE_MAX", 1000)

    async def story(world: World) -> None:
        def again() -> None:
            world.after(0.0, again)

        again()
        await trio.sleep(1.0)

    with pytest.raises(Livelock):
        run_world(1, story)


def test_ctrl_c_ends_a_run_that_would_go_on_for_ever() -> None:
    async def story(world: World) -> None:
        def tick() -> None:
            world.after(1.0, tick)
            if world.now_s == 1000.0:
                os.kill(os.getpid(), signal.SIGINT)

        tick()
        await trio.sleep_forever()

    # (Whoever starts the tests in a shell's background starts them deaf.)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_world(1, story)
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_collector_runs_at_fixed_points_only() -> None:
    async def story(world: World) -> list[int]:
        counts = []
        for _ in range(4):
            for _ in range(100):
                world.after(0.5, lambda: None)
            await trio.sleep(1.0)
            counts.append(gc.get_stats()[2]["collections"])
        assert not gc.isenabled()
        return counts

    counts = run_world(1, story, RunConfig(collect_every_events=200)).value
    assert [b - a for a, b in itertools.pairwise(counts)] == [0, 1, 0]
    assert gc.isenabled()


# -- trio ----------------------------------------------------------------------------------------
def test_this_trio_is_understood() -> None:
    trio_internals.check()


def test_another_trio_is_refused_with_a_word_about_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("trio._core._run._r")
    with pytest.raises(trio_internals.TrioChanged, match=f"_r.*{trio.__version__}"):
        trio_internals.check()


def test_a_trio_that_does_not_ask_for_an_order_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Deaf(trio_internals._Probe):
        def shuffle(self, batch: list[object]) -> None:
            batch.reverse()

    monkeypatch.setattr(trio_internals, "_Probe", Deaf)
    with pytest.raises(trio_internals.TrioChanged, match="ran as"):
        trio_internals.check()


def test_trio_is_itself_again_after_a_run() -> None:
    from trio._core import _run

    before = _run._r
    run_world(1, race)
    assert _run._r is before
