"""Virtual programs: the same bytes everywhere, virtual time, the errors of the real ones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
import trio

from mesh.action.model import PROJECT_MOUNT, Action, EnvVar, OutputSpec, Tree, TreeEntry
from mesh.cas.blobs import BlobMissing, BlobStore
from mesh.errors import MemoryExceeded, OutputMissing, PathEscapes, ShardTimedOut
from mesh.ports import Env
from mesh.ports.actions import ActionRunner, ActionSetup, Execution, Job
from mesh.types import Digest, digest_of
from mesh.wire.messages import PHASE_RUNNING, PHASE_STORING
from mesh.wire.schema import encode_struct
from sim.kernel.run import run_world
from sim.kernel.world import World
from sim.machine.machine import Machine, MachineConfig
from sim.machine.program import behaviour_of
from sim.machine.rack import Rack
from sim.machine.readings import Body
from sim.net import Network

T = TypeVar("T")
SOURCE = b"int main(void) { return 0; }\n"
NOTHING = Digest(bytes(32))


class NoDigests:
    def digest(self, path: object) -> Digest:
        raise AssertionError("a simulated machine looks at no real file")


def job(*argv: str, out: str = "out/a.o", seconds: float = 100.0, **more: object) -> Job:
    tree = Tree((TreeEntry(f"{PROJECT_MOUNT}/a.c", 0, digest_of(SOURCE), len(SOURCE)),))
    action = Action(
        argv=argv,
        env=(EnvVar("LANG", "C"),),
        cwd=PROJECT_MOUNT,
        mounts=(PROJECT_MOUNT,),
        inputs=digest_of(encode_struct(tree)),
        outputs=(OutputSpec(f"{PROJECT_MOUNT}/{out}"),) if out else (),
        toolchain=NOTHING,
    )
    return Job(action, tree, name="a", timeout_s=seconds, **more)  # type: ignore[arg-type]


def on_a_machine(
    work: Callable[[ActionRunner, BlobStore, World], Awaitable[T]],
    body: Body | None = None,
    seed: int = 1,
) -> T:
    """Run `work` as the program of a machine with two slots and the source in its store."""

    async def main(world: World) -> T:
        rack, got = Rack(), list[T]()

        async def program(env: Env) -> None:
            store = BlobStore(env.disk)
            store.put(SOURCE)
            async with env.actions.open(ActionSetup(slots=2), store, NoDigests()) as runner:
                got.append(await work(runner, store, world))

        async with rack.powered():
            config = MachineConfig("m", Network(world).add_host("10.0.0.1"), body or Body())
            life = Machine(world, rack, config).start(program)
            await life.ended.wait()
        assert not world.findings, world.findings[0].detail
        return got[0]

    return run_world(seed, main).value


async def executed(runner: ActionRunner, store: BlobStore, world: World) -> tuple[Execution, bytes]:
    done = await runner.execute(job("cc", "-c", "a.c"))
    return done, store.read(done.outputs[0].digest)


def test_every_machine_makes_the_same_bytes_and_a_fast_one_sooner() -> None:
    slow, data = on_a_machine(executed)
    fast, same = on_a_machine(executed, Body(speed=4.0), seed=9)
    assert data == same
    assert slow.outputs == fast.outputs
    assert slow.duration_ms == pytest.approx(4 * fast.duration_ms, abs=4)


def test_other_commands_make_other_bytes() -> None:
    seeds = {behaviour_of(job("cc", f"-O{level}").action).seed for level in range(3)}
    assert len(seeds) == 3


@pytest.mark.parametrize(
    ("argv", "seconds", "status", "stdout"),
    [
        (("sleep", "3"), 3.0, 0, b""),
        (("/bin/sh", "-c", "sleep 3; cp a b"), 3.0, 0, b""),
        (("sh", "-ec", "echo one two && sleep 1\nexit 4"), 1.0, 4, b"one two\n"),
        (("sim", "seconds=2", "exit=7", "stdout=hello"), 2.0, 7, b"hello"),
        (("false",), None, 1, b""),
        (("sh", "-c", "echo 'unclosed"), None, 0, b""),
    ],
)
def test_a_command_says_what_it_does(
    argv: tuple[str, ...], seconds: float | None, status: int, stdout: bytes
) -> None:
    read = behaviour_of(job(*argv).action)
    assert (read.exit_status, read.stdout) == (status, stdout)
    if seconds is None:
        assert 0.02 <= read.duration_s <= 2.56
    else:
        assert read.duration_s == seconds


def test_slots_are_few_and_others_wait() -> None:
    async def work(runner: ActionRunner, _: BlobStore, world: World) -> list[float]:
        ended: list[float] = []

        async def one() -> None:
            await runner.execute(job("sleep", "3"))
            ended.append(round(world.now_s))

        async with trio.open_nursery() as nursery:
            for _number in range(4):
                nursery.start_soon(one)
            await trio.sleep(1)
            assert runner.busy == 2
        return ended

    assert on_a_machine(work) == [3, 3, 6, 6]


def test_what_it_says_arrives_while_it_runs_and_phases_are_told() -> None:
    async def work(runner: ActionRunner, _: BlobStore, world: World) -> list[object]:
        seen: list[object] = []
        doing = job(
            "sim",
            "seconds=4",
            "stdout=out",
            on_output=lambda stream, data: seen.append((stream, data, round(world.now_s))),
            on_phase=seen.append,
        )
        done = await runner.execute(doing)
        assert done.stdout.inline == b"out"
        return seen

    assert on_a_machine(work) == [PHASE_RUNNING, (1, b"out", 2), PHASE_STORING]


@pytest.mark.parametrize(
    ("doing", "error"),
    [
        (job("sleep", "60", seconds=5.0), ShardTimedOut),
        (job("sim", "memory=2000000", memory_bytes=1_000_000), MemoryExceeded),
        (job("sim", "forget=a.o"), OutputMissing),
        (job("cc", out="../../etc/passwd"), PathEscapes),
    ],
)
def test_errors_are_those_of_the_real_one(doing: Job, error: type[Exception]) -> None:
    async def work(runner: ActionRunner, _: BlobStore, world: World) -> float:
        start_s = world.now_s
        with pytest.raises(error):
            await runner.execute(doing)
        assert runner.busy == 0
        return world.now_s - start_s

    took_s = on_a_machine(work)
    if error is ShardTimedOut:
        assert 5.0 <= took_s < 5.1


def test_a_missing_input_is_named_before_anything_runs() -> None:
    async def work(runner: ActionRunner, store: BlobStore, world: World) -> Digest:
        doing = job("cc")
        absent = Tree((TreeEntry(f"{PROJECT_MOUNT}/b.c", 0, digest_of(b"absent"), 6),))
        with pytest.raises(BlobMissing) as caught:
            await runner.execute(Job(doing.action, absent))
        return caught.value.digest

    assert on_a_machine(work) == digest_of(b"absent")


def test_a_cancelled_action_is_over_at_once() -> None:
    async def work(runner: ActionRunner, _: BlobStore, world: World) -> tuple[float, int]:
        with trio.move_on_after(1):
            await runner.execute(job("sleep", "60"))
        return world.now_s, runner.busy

    ended_s, busy = on_a_machine(work)
    assert (round(ended_s), busy) == (1, 0)


def test_a_failed_action_leaves_nothing() -> None:
    async def work(runner: ActionRunner, _: BlobStore, world: World) -> Execution:
        return await runner.execute(job("sim", "exit=3"))

    done = on_a_machine(work)
    assert (done.exit_status, done.outputs) == (3, ())
