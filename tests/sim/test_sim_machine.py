"""What can happen to a machine, and what its process sees of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
import trio

from mesh.errors import CannotSpawn
from mesh.ports import Arrived, Env, SpawnRequest
from sim.kernel.run import Outcome, run_world
from sim.kernel.world import World
from sim.machine.clock import WALL_START_S
from sim.machine.life import tasks_of_the_dead
from sim.machine.machine import Machine, MachineConfig
from sim.machine.rack import Rack
from sim.net import Link, Network
from sim.net.host import Host

T = TypeVar("T")
HERE, THERE = "10.0.0.1", "10.0.0.2"
PORT = 7000


class Lab:
    """One machine, and a bare host that can send datagrams to it."""

    def __init__(self, world: World, rack: Rack) -> None:
        self.world = world
        network = Network(world, Link(latency_s=0.001, jitter_s=0.0))
        self.machine = Machine(world, rack, MachineConfig("m", network.add_host(HERE)))
        self.other: Host = network.add_host(THERE)
        self._send = network.send
        self.heard: list[tuple[float, float, bytes]] = []
        """(read at, arrived at, data) in world and machine time."""

    def send(self, text: str) -> None:
        self._send(text.encode(), (THERE, 1), (HERE, PORT))

    async def listen(self, env: Env) -> None:
        """A program that reads datagrams."""
        port = await env.datagrams.open((HERE, PORT))

        def handler(batch: object) -> None:
            assert isinstance(batch, list)
            for each in batch:
                assert isinstance(each, Arrived)
                self.heard.append((self.world.now_s, each.arrived_s, each.data))

        await port.serve(handler)


def in_lab(story: Callable[[Lab], Awaitable[T]], seed: int = 1) -> Outcome[T]:
    async def main(world: World) -> T:
        rack = Rack()
        async with rack.powered():
            return await story(Lab(world, rack))

    return run_world(seed, main)


# -- clocks --------------------------------------------------------------------------------------
def test_a_fast_clock_fires_its_timers_early_and_a_step_moves_only_the_wall() -> None:
    async def story(lab: Lab) -> list[float]:
        fired: list[float] = []

        async def program(env: Env) -> None:
            start_s, wall_s = env.clock.monotonic(), env.clock.wall()
            env.clock.call_at(start_s + 20, lambda: fired.append(lab.world.now_s))
            lab.machine.clock.set_rate(2.0)  # an already set timer is due at another moment
            await env.clock.sleep_until(start_s + 10)
            fired.append(lab.world.now_s)
            lab.machine.clock.step_wall(-3600)
            assert env.clock.monotonic() - start_s == 10
            assert env.clock.wall() - wall_s == pytest.approx(10 - 3600, abs=1e-6)
            await trio.sleep_forever()

        lab.machine.start(program)
        await trio.sleep(30)
        return fired

    assert in_lab(story).value == [5.0, 10.0]


def test_the_wall_clock_survives_a_power_cut_and_the_monotonic_one_does_not() -> None:
    async def story(lab: Lab) -> list[tuple[float, float]]:
        shown: list[tuple[float, float]] = []

        async def program(env: Env) -> None:
            shown.append((env.clock.monotonic(), env.clock.wall()))
            await trio.sleep_forever()

        lab.machine.start(program)
        await trio.sleep(100)
        lab.machine.power_cut()
        await trio.sleep(50)
        lab.machine.start(program)
        await trio.sleep(1)
        return shown

    assert in_lab(story).value == [(0.0, WALL_START_S), (0.0, WALL_START_S + 150)]


def test_a_cancelled_timer_does_not_fire_and_a_late_one_says_how_late() -> None:
    async def story(lab: Lab) -> list[str]:
        fired: list[str] = []

        async def program(env: Env) -> None:
            start_s = env.clock.monotonic()
            env.clock.call_at(start_s + 1, lambda: fired.append("cancelled")).cancel()
            env.clock.call_at(
                start_s + 2, lambda: fired.append(f"{env.readings.lag_s() >= 3:d} late")
            )
            await trio.sleep_forever()

        lab.machine.start(program)
        lab.world.at(1.5, lab.machine.freeze)
        lab.world.at(5.5, lab.machine.thaw)
        await trio.sleep(10)
        return fired

    assert in_lab(story).value == ["1 late"]


# -- pace ----------------------------------------------------------------------------------------
def test_a_frozen_process_does_nothing_and_then_everything_once() -> None:
    async def story(lab: Lab) -> list[tuple[str, float]]:
        seen: list[tuple[str, float]] = []

        async def program(env: Env) -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(lab.listen, env)
                start_s = env.clock.monotonic()
                env.clock.call_at(start_s + 2, lambda: seen.append(("timer", lab.world.now_s)))
                with trio.move_on_after(3):
                    await trio.sleep_forever()
                seen.append(("timeout", lab.world.now_s))
                await env.clock.sleep_until(start_s + 4)
                seen.append(("slept", lab.world.now_s))

        lab.machine.start(program)
        lab.world.at(1.0, lab.machine.freeze)
        for at_s in (1.5, 2.5):
            lab.world.at(at_s, lambda: lab.send("mail"))
        await trio.sleep(10)
        assert (seen, lab.heard) == ([], [])
        lab.machine.thaw()
        await trio.sleep(1)
        assert [(round(read, 3), round(arrived, 3)) for read, arrived, _ in lab.heard] == [
            (10.0, 1.501),
            (10.0, 2.501),
        ]
        return seen

    at_thaw = in_lab(story).value
    assert at_thaw == [("timer", 10.0), ("timeout", 10.0), ("slept", 10.0)]


def test_a_starved_process_reads_late_in_order_with_the_times_of_arrival() -> None:
    async def story(lab: Lab) -> None:
        lab.machine.start(lab.listen)
        await trio.sleep(0.5)
        lab.machine.starve(0.5, 2.5)
        for number in range(100):
            lab.world.after(0.1 * number, lambda number=number: lab.send(f"{number}"))
        await trio.sleep(20)
        assert [data for _, _, data in lab.heard] == [b"%d" % number for number in range(100)]
        late_s = [read - arrived for read, arrived, _ in lab.heard]
        assert 0.5 < max(late_s) <= 2.5
        assert len({read for read, _, _ in lab.heard}) < 30, "read in batches"
        assert lab.machine.life is not None
        assert lab.machine.life.env.readings.pressure().cpu > 10
        lab.machine.starve(None)
        lab.heard.clear()
        await trio.sleep(5)
        lab.send("again")
        await trio.sleep(0.002)
        assert len(lab.heard) == 1

    assert not in_lab(story).findings


def test_other_machines_do_not_notice() -> None:
    async def main(world: World) -> float:
        network = Network(world)
        rack = Rack()
        async with rack.powered():
            one, two = (
                Machine(world, rack, MachineConfig(name, network.add_host(host)))
                for name, host in (("one", HERE), ("two", THERE))
            )
            woke: list[float] = []

            async def program(env: Env) -> None:
                await env.clock.sleep_until(env.clock.monotonic() + 2)
                woke.append(world.now_s)

            one.start(program)
            two.start(program)
            world.at(1.0, one.freeze)
            await trio.sleep(5)
            assert one.running
            assert not two.running
            return woke[0]

    assert run_world(1, main).value == 2.0


# -- ends ----------------------------------------------------------------------------------------
def test_the_last_words_of_a_killed_process_reach_nobody() -> None:
    async def story(lab: Lab) -> list[str]:
        said: list[str] = []

        async def program(env: Env) -> None:
            port = await env.datagrams.open((HERE, PORT))
            env.disk.write("file", b"kept")
            try:
                await trio.sleep_forever()
            finally:
                said.append("finally runs")
                port.send(b"goodbye", (THERE, 1))
                env.clock.call_at(0.0, lambda: said.append("never"))
                with trio.CancelScope(shield=True):
                    await env.clock.sleep_until(env.clock.monotonic() + 60)
                env.disk.write("file", b"overwritten")

        sockets = lab.other.boot()
        heard = await sockets.datagrams.open((THERE, 1))
        lab.machine.start(program)
        await trio.sleep(1)
        lab.machine.crash()
        await trio.sleep(100)
        assert heard.take_waiting() == []
        assert lab.machine.disk.open().read("file") == b"kept"
        return said

    done = in_lab(story)
    assert done.value == ["finally runs"]
    assert not done.findings, "what a dying process does is nobody's bug"


def test_a_killed_process_that_was_frozen_can_be_started_again_at_once() -> None:
    async def story(lab: Lab) -> int:
        lab.machine.start(lab.listen)
        await trio.sleep(1)
        lab.machine.freeze()
        lab.send("lost with the process")
        await trio.sleep(1)
        lab.machine.crash()
        lab.machine.start(lab.listen)
        await trio.sleep(1)
        lab.send("heard")
        await trio.sleep(1)
        assert [data for _, _, data in lab.heard] == [b"heard"]
        return lab.machine.lives

    assert in_lab(story).value == 2


def test_an_exception_nobody_catches_ends_the_process_and_is_a_finding() -> None:
    async def story(lab: Lab) -> bool:
        async def program(env: Env) -> None:
            env.clock.call_at(env.clock.monotonic() + 1, lambda: {}[1])  # type: ignore[misc]
            await trio.sleep(2)
            raise RuntimeError("bug")

        lab.machine.start(program)
        await trio.sleep(5)
        return lab.machine.running

    done = in_lab(story)
    assert done.value is False
    assert [(each.at_s, each.where, each.what) for each in done.findings] == [
        (1.0, "m", "KeyError: 1"),
        (2.0, "m", "RuntimeError: bug"),
    ]


# -- work outside the event loop -----------------------------------------------------------------
def test_a_blocking_call_takes_virtual_time_and_a_slow_disk_more() -> None:
    async def story(lab: Lab) -> tuple[float, float]:
        took: list[float] = []

        async def program(env: Env) -> None:
            for _ in range(2):
                start_s = lab.world.now_s
                await env.exec.run_sync(env.disk.write, "file", b"x")
                took.append(lab.world.now_s - start_s)
                lab.machine.disk.slow_syncs(2.0)

        lab.machine.start(program)
        await trio.sleep(10)
        return took[0], took[1]

    quick_s, slow_s = in_lab(story).value
    assert 0 < quick_s < 0.01
    assert slow_s >= 2.0


def test_a_slow_disk_stops_the_whole_process_when_no_thread_is_used() -> None:
    async def story(lab: Lab) -> list[float]:
        ticks: list[float] = []

        async def program(env: Env) -> None:
            start_s = env.clock.monotonic()
            env.clock.call_at(start_s + 1, lambda: ticks.append(lab.world.now_s))
            env.disk.write("file", b"x")
            await trio.sleep_forever()

        lab.machine.disk.slow_syncs(3.0)
        lab.machine.start(program)
        await trio.sleep(10)
        return ticks

    (tick_s,) = in_lab(story).value
    assert tick_s >= 3.0


def test_there_are_no_real_processes() -> None:
    async def story(lab: Lab) -> str:
        refusals: list[str] = []

        async def program(env: Env) -> None:
            try:
                await env.exec.run_process(SpawnRequest(["/bin/true"], {}, "/"))
            except CannotSpawn as error:
                refusals.append(error.message())

        lab.machine.start(program)
        await trio.sleep(1)
        return refusals[0]

    assert "no such program" in in_lab(story).value


def test_every_life_draws_other_secrets_and_every_run_the_same() -> None:
    async def story(lab: Lab) -> list[bytes]:
        tokens: list[bytes] = []

        async def program(env: Env) -> None:
            tokens.append(env.entropy.token(16))

        for _ in range(2):
            lab.machine.start(program)
            await trio.sleep(1)
        return tokens

    first = in_lab(story).value
    assert first[0] != first[1]
    assert in_lab(story).value == first
    assert in_lab(story, seed=2).value != first


def test_what_outlives_its_process_is_seen_until_it_ends() -> None:
    async def story(lab: Lab) -> list[int]:
        release = trio.Event()

        async def stubborn() -> None:
            with trio.CancelScope(shield=True):
                await release.wait()

        async def program(_: Env) -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stubborn)

        lab.machine.start(program)
        seen = []
        for step in (lambda: None, lab.machine.crash, release.set):
            await trio.sleep(1.0)
            step()
            await trio.sleep(1.0)
            seen.append(len(tasks_of_the_dead()))
        return seen

    assert in_lab(story).value == [0, 2, 0], "the stubborn one, and who waits for it"


def test_timers_that_were_set_again_and_again_are_not_kept() -> None:
    async def story(lab: Lab) -> int:
        kept = []

        async def program(env: Env) -> None:
            for _ in range(100):
                env.clock.call_at(env.clock.monotonic() + 5.0, lambda: None).cancel()
            assert lab.machine.life is not None
            kept.append(len(lab.machine.life.clock.pending))
            await trio.sleep_forever()

        lab.machine.start(program)
        await trio.sleep(1.0)
        return kept[0]

    assert in_lab(story).value == 0
