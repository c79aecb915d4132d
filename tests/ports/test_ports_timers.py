"""Timers of the real clock: in order, in the event loop, harmless when they fail, and the measure
of how late the event loop is."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import trio

from mesh.ports.real.clock import RealClock


async def passed(clock: RealClock, seconds: float) -> None:
    await clock.sleep_until(clock.monotonic() + seconds)


async def test_timers_come_in_the_order_of_their_deadlines_and_not_early() -> None:
    clock, came = RealClock(), []
    began_s = clock.monotonic()
    done = trio.Event()

    def note(name: str) -> Callable[[], None]:
        return lambda: came.append((name, clock.monotonic() - began_s))

    clock.call_at(began_s + 0.04, done.set)
    clock.call_at(began_s + 0.03, note("third"))
    clock.call_at(began_s + 0.01, note("first"))  # earlier than what is waited for already
    clock.call_at(began_s + 0.02, note("second"))
    assert came == []
    await done.wait()
    assert [name for name, _ in came] == ["first", "second", "third"]
    assert all(at_s >= due_s for (_, at_s), due_s in zip(came, (0.01, 0.02, 0.03), strict=True))


async def test_a_cancelled_timer_does_not_come_and_cancelling_late_is_harmless() -> None:
    clock, came = RealClock(), []
    cancelled = clock.call_at(clock.monotonic() + 0.01, lambda: came.append("cancelled"))
    kept = clock.call_at(clock.monotonic() + 0.01, lambda: came.append("kept"))
    cancelled.cancel()
    await passed(clock, 0.03)
    kept.cancel()
    assert came == ["kept"]


async def test_a_timer_that_fails_is_logged_and_hurts_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, done = RealClock(), trio.Event()
    clock.call_at(clock.monotonic() + 0.01, lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    clock.call_at(clock.monotonic() + 0.02, done.set)
    await done.wait()
    assert "a timer failed" in caplog.text
    assert "ZeroDivisionError" in caplog.text


async def test_a_timer_set_anew_for_the_past_lets_everybody_else_run() -> None:
    clock, turns, done = RealClock(), [], trio.Event()

    def again() -> None:
        turns.append(clock.monotonic())
        if len(turns) < 50:
            clock.call_at(0.0, again)
        else:
            done.set()

    clock.call_at(0.0, again)
    others = 0
    while not done.is_set():
        await trio.lowlevel.checkpoint()
        others += 1
    assert others >= 25


async def test_thousands_of_cancelled_timers_are_forgotten() -> None:
    clock, done = RealClock(), trio.Event()
    for _ in range(5000):
        clock.call_at(clock.monotonic() + 1e6, done.set).cancel()
    clock.call_at(clock.monotonic() + 0.01, done.set)
    await done.wait()
    await passed(clock, 0.01)
    assert len(clock._heap) < 1000


async def test_lag_is_how_late_timers_are() -> None:
    clock, done = RealClock(), trio.Event()
    assert clock.lag_s() < 0.1
    clock.call_at(clock.monotonic() + 0.01, done.set)
    time.sleep(0.2)  # noqa: ASYNC251 - the event loop is stuck: that is the point
    assert clock.lag_s() > 0.15, "the timer that should have come by now counts"
    await done.wait()
    assert clock.lag_s() > 0.15, "and the one that has come late, for a while"


def test_one_clock_serves_one_event_loop_after_the_other() -> None:
    clock = RealClock()

    async def one() -> None:
        done = trio.Event()
        clock.call_at(clock.monotonic() + 1e6, done.set)
        clock.call_at(clock.monotonic() + 0.01, done.set)
        with trio.fail_after(10):
            await done.wait()

    trio.run(one)
    trio.run(one)
