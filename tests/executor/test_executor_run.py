"""Executor: what an action gets, and what comes back."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
import trio

from mesh.action.model import DIRECTORY, EXECUTABLE, FILE, SYMLINK, OutputSpec, Tree, TreeEntry
from mesh.cas.blobs import BlobMissing
from mesh.errors import (
    CannotSpawn,
    MemoryExceeded,
    OutputMissing,
    OutputTooLarge,
    OutputUnusable,
    ShardTimedOut,
)
from mesh.executor import executor as executor_module
from mesh.executor import outputs as outputs_module
from mesh.executor import slot as slot_module
from mesh.limits import MIB
from mesh.types import digest_of
from mesh.wire.messages import PHASE_RUNNING, PHASE_STORING

MOUNT = "/vitte/project"


async def test_inputs_in_outputs_out(bench: Any) -> None:
    tree = bench.tree({"src/a.txt": b"alpha", "x/tool": b"#!/bin/sh\ncat src/a.txt src/l\n"})
    tree = bench.tree({"src/a.txt": b"alpha", "src/l": "a.txt", "x/tool": b"#!/bin/sh\ncat $@\n"})
    execution = await bench.run(
        "x/tool src/a.txt src/l > out/made", tree=tree, outputs=("out/made",)
    )
    assert execution.exit_status == 0
    assert bench.content(execution, "out/made") == b"alphaalpha"
    assert execution.sandbox == bench.executor.sandbox.kind


async def test_argv_is_executed_directly_and_env_is_only_what_was_given(bench: Any) -> None:
    execution = await bench.run("env", "-i", "A=$HOME", "env")
    assert bench.log(execution.stdout) == "A=$HOME\n"
    names = {line.split("=")[0] for line in (await bench.says("/usr/bin/env", "--")).split()}
    assert names <= {"PATH", "TMPDIR"}


async def test_failure_is_a_result_with_both_logs_and_no_outputs(bench: Any) -> None:
    execution = await bench.run("echo out; echo err >&2; touch made; exit 3", outputs=("made",))
    assert execution.exit_status == 3
    assert execution.outputs == ()
    assert bench.log(execution.stdout) == "out\n"
    assert bench.log(execution.stderr) == "err\n"


async def test_death_by_signal_is_minus_the_signal(bench: Any) -> None:
    assert (await bench.run("kill -SEGV $$")).exit_status == -11


async def test_signals_are_not_ignored_in_actions(bench: Any) -> None:
    """Python ignores SIGPIPE, and children would inherit that."""
    mask = int(await bench.says("grep SigIgn /proc/self/status | cut -f2"), 16)
    assert mask & 0x7FFFFFFF == 0, "32 and 33 are the C library's own business"


async def test_stdin_is_empty_and_no_descriptor_leaks(bench: Any) -> None:
    said = await bench.says("cat; for fd in /proc/self/fd/*; do echo ${fd##*/}; done")
    assert {int(fd) for fd in said.split()} <= {0, 1, 2, 3}


async def test_every_kind_of_output(bench: Any) -> None:
    execution = await bench.run(
        "mkdir -p d/sub d/empty; echo 1 > d/one; echo 2 > d/sub/two; chmod +x d/sub/two;"
        "ln -s one d/link; ln -s $PWD/d/one d/absolute",
        outputs=(OutputSpec(f"{MOUNT}/d", directory=True), OutputSpec(f"{MOUNT}/d/one")),
    )
    kinds = {each.path.removeprefix(MOUNT + "/"): each for each in execution.outputs}
    assert {path: each.kind for path, each in kinds.items()} == {
        "d/one": FILE,
        "d/sub/two": EXECUTABLE,
        "d/empty": DIRECTORY,
        "d/link": SYMLINK,
        "d/absolute": SYMLINK,
    }
    assert kinds["d/link"].link == kinds["d/absolute"].link == "one"
    assert bench.content(execution, "d/sub/two") == b"2\n"
    assert list(execution.outputs) == sorted(execution.outputs, key=lambda each: each.path)


async def test_missing_output(bench: Any) -> None:
    with pytest.raises(OutputMissing) as caught:
        await bench.run("true", outputs=("made",))
    assert caught.value.message() == "`the-shard` succeeded but did not make `made`"
    optional = OutputSpec(f"{MOUNT}/maybe", optional=True)
    assert (await bench.run("true", outputs=(optional,))).outputs == ()
    with pytest.raises(OutputMissing):
        await bench.run("touch d", outputs=(OutputSpec(f"{MOUNT}/d", directory=True),))


async def test_special_files_are_no_outputs(bench: Any) -> None:
    with pytest.raises(OutputUnusable):
        await bench.run("mkfifo pipe", outputs=("pipe",))
    with pytest.raises(OutputUnusable):
        await bench.run("mkdir d; mkfifo d/p", outputs=(OutputSpec(f"{MOUNT}/d", directory=True),))


async def test_too_large_outputs(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = OutputSpec(f"{MOUNT}/big")
    promise = outputs_module.Promise("s", (spec,), (MOUNT,), size_bytes_max=1000)
    assert promise.size_bytes_max == 1000
    monkeypatch.setattr(
        executor_module,
        "Promise",
        lambda *args: outputs_module.Promise(*args, size_bytes_max=1000),
    )
    assert (await bench.run("head -c 1000 /dev/zero > big", outputs=("big",))).outputs
    with pytest.raises(OutputTooLarge):
        await bench.run("head -c 1001 /dev/zero > big", outputs=("big",))


# -- logs ----------------------------------------------------------------------------------------
async def test_large_log_is_a_blob(bench: Any) -> None:
    said = await bench.says("seq 100000")
    assert said == "".join(f"{number}\n" for number in range(1, 100001))


async def test_endless_log_is_cut_and_counted(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    request = slot_module.Request
    monkeypatch.setattr(
        executor_module, "Request", lambda **fields: request(**fields, log_bytes_max=1000)
    )
    execution = await bench.run("head -c 1000000 /dev/zero | tr '\\0' x; echo y >&2")
    assert bench.log(execution.stdout) == "x" * 1000
    assert execution.stdout.lost_bytes == 999_000
    assert execution.stderr.lost_bytes == 0


async def test_output_arrives_while_it_runs(bench: Any) -> None:
    pieces: list[tuple[int, bytes]] = []
    arrived = trio.Event()

    def on_output(stream: int, data: bytes) -> None:
        pieces.append((stream, data))
        arrived.set()

    with trio.move_on_after(30) as scope:
        async with trio.open_nursery() as nursery:
            job = bench.job("echo now; echo err >&2; sleep 1000", on_output=on_output)
            nursery.start_soon(bench.executor.execute, job)
            await arrived.wait()
            nursery.cancel_scope.cancel()
    assert not scope.cancelled_caught
    assert pieces[0] in [(1, b"now\n"), (2, b"err\n")]


async def test_one_actions_output_never_reaches_the_next(bench: Any) -> None:
    await bench.run("(sleep 0.02; echo late) & echo first; exit 0")
    for _ in range(3):
        assert await bench.says("echo second") == "second\n"


async def test_phases(bench: Any) -> None:
    phases: list[int] = []
    await bench.run("touch made", outputs=("made",), on_phase=phases.append)
    assert phases == [PHASE_RUNNING, PHASE_STORING]


# -- trouble -------------------------------------------------------------------------------------
@pytest.mark.parametrize("argv", [("/no/such", "x"), ("no-such-tool", "x"), (MOUNT, "x")])
async def test_what_cannot_be_executed(bench: Any, argv: tuple[str, ...]) -> None:
    with pytest.raises(CannotSpawn) as caught:
        await bench.run(*argv)
    assert caught.value.params["node"] == "box"
    assert await bench.says("echo fine") == "fine\n"


async def test_missing_blob_runs_nothing(bench: Any) -> None:
    entry = TreeEntry(f"{MOUNT}/f", FILE, digest_of(b"nowhere"), 7)
    with pytest.raises(BlobMissing) as caught:
        await bench.run("echo ran", tree=Tree((entry,)))
    assert caught.value.digest == entry.digest
    assert await bench.says("ls") == ""


async def test_timeout_kills_even_what_ignores_it(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = slot_module.Request
    monkeypatch.setattr(executor_module, "Request", lambda **fields: request(**fields, grace_s=0.2))
    with pytest.raises(ShardTimedOut) as caught:
        await bench.run("trap '' TERM; sleep 1000 & sleep 1000; sleep 1000", timeout_s=0.2)
    assert caught.value.message() == "`the-shard` ran longer than 0.2 s on box and was stopped"
    assert not [each for each in bench.processes() if "sleep" in each]
    assert await bench.says("echo fine") == "fine\n"


async def test_timeout_lets_a_process_end_by_itself(bench: Any) -> None:
    """SIGTERM first: a test runner may write its report."""
    with pytest.raises(ShardTimedOut), trio.fail_after(1.9):
        await bench.run("trap 'exit 0' TERM; while :; do sleep 0.05; done", timeout_s=0.3)


async def test_memory_limit_counts_all_processes(bench: Any) -> None:
    hog = "import time; x = bytearray(60 << 20); time.sleep(100)"
    both = f"/usr/bin/python3 -c '{hog}' & /usr/bin/python3 -c '{hog}'"
    with pytest.raises(MemoryExceeded), trio.fail_after(20):
        await bench.run(both, memory_bytes=100 * MIB)
    assert not [each for each in bench.processes() if "bytearray" in each]
    assert await bench.says("echo fine", memory_bytes=100 * MIB) == "fine\n"


async def test_large_address_space_is_no_memory(bench: Any) -> None:
    """Sanitizers reserve terabytes; an RLIMIT_AS would break them."""
    reserve = "import mmap; mmap.mmap(-1, 1 << 40, flags=mmap.MAP_PRIVATE | 0x4000); print('ok')"
    said = await bench.says("/usr/bin/python3", "-c", reserve, memory_bytes=200 * MIB)
    assert said == "ok\n"


async def test_huge_command_line(bench: Any) -> None:
    """Larger than one packet: it travels in a memfd."""
    words = [f"word-{number:09}" for number in range(16_000)]
    said = await bench.says("/bin/sh", "-c", 'echo $# ; echo "$1"', "sh", *words)
    assert said.split() == ["16000", "word-000000000"]


async def test_cancelling_kills_and_returns_the_slot(bench: Any) -> None:
    for _ in range(3):
        started = trio.Event()
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                job = bench.job(
                    "echo started; (sleep 1000 &) ; sleep 1000",
                    on_output=lambda _stream, _data, started=started: started.set(),
                )
                nursery.start_soon(bench.executor.execute, job)
            await started.wait()
            nursery.cancel_scope.cancel()
        assert not [each for each in bench.processes() if "sleep" in each]
        assert bench.executor.busy == 0
    assert await bench.says("ls") == ""


async def test_raising_listener_does_not_leave_the_action_running(bench: Any) -> None:
    def on_output(stream: int, data: bytes) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await bench.run("echo now; sleep 1000", on_output=on_output)
    assert not [each for each in bench.processes() if "sleep" in each]
    assert await bench.says("echo fine") == "fine\n"


async def test_no_more_at_once_than_slots(bench: Any) -> None:
    most = 0
    running = 0

    def on_phase(phase: int) -> None:
        nonlocal most
        most = max(most, bench.executor.busy)

    async def one(number: int) -> None:
        nonlocal running
        said = await bench.says(f"echo {number} > f; sleep 0.01; cat f; ls", on_phase=on_phase)
        assert said == f"{number}\nf\n"
        running += 1

    async with trio.open_nursery() as nursery:
        for number in range(12):
            nursery.start_soon(one, number)
    assert running == 12
    assert most == 2


async def test_killed_launcher_fails_one_action_only(bench: Any) -> None:
    await bench.says("true")
    slot = bench.executor._free[-1]
    slot._port.kill()
    assert await slot._port.receive() == b"", "now it is really dead"
    with pytest.raises(CannotSpawn):
        await bench.run("true")
    assert await bench.says("echo fine") == "fine\n"


async def test_zero_byte_in_an_argument_is_refused_not_misread(bench: Any) -> None:
    with pytest.raises(CannotSpawn, match="zero byte"):
        await bench.run("/bin/echo", "a\0b")
    assert await bench.says("/bin/echo", "a b") == "a b\n"


async def test_launcher_that_does_not_answer_is_replaced(
    plain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = slot_module.Request
    monkeypatch.setattr(
        executor_module, "Request", lambda **fields: request(**fields, grace_s=0.05)
    )
    monkeypatch.setattr(slot_module, "_SLACK_S", 0.05)
    await plain.run("true")
    for slot in plain.executor._slots:
        if slot._port is not None:
            os.kill(slot._port.pid, signal.SIGSTOP)
    with pytest.raises(CannotSpawn, match="did not answer in time"):
        await plain.run("true", timeout_s=0.1)
    assert await plain.says("echo again") == "again\n"
