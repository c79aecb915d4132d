"""Promises of clocks, entropy, disks, actions and readings; real and simulated."""

from __future__ import annotations

import errno
import logging
from pathlib import Path

import pytest
import trio
from stands import Computer, Stand

from mesh.action.model import FILE, Action, EnvVar, OutputSpec, Tree, TreeEntry
from mesh.cas.blobs import BlobMissing, BlobStore
from mesh.cas.filehash import FileHasher
from mesh.errors import OutputMissing, ShardTimedOut
from mesh.ports.actions import ActionSetup, Job
from mesh.ports.disk import AlreadyLocked, NotPlainFile
from mesh.types import digest_of
from mesh.wire.schema import encode_struct


# -- clock ---------------------------------------------------------------------------------------
def test_sleeping_ends_at_the_deadline_and_not_before(stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        clock = one.env.clock
        deadline_s = clock.monotonic() + 0.02
        await clock.sleep_until(deadline_s)
        assert deadline_s <= clock.monotonic() < deadline_s + 10
        before_s = clock.monotonic()
        await clock.sleep_until(before_s - 1000)
        assert clock.monotonic() - before_s < 10

    stand.run(story)


def test_timers_fire_in_order_never_at_once_and_not_when_cancelled(stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        clock, fired, done = one.env.clock, list[str](), trio.Event()
        now_s = clock.monotonic()
        clock.call_at(now_s + 0.03, done.set)
        clock.call_at(now_s + 0.02, lambda: fired.append("second"))
        clock.call_at(now_s + 0.01, lambda: fired.append("first"))
        clock.call_at(now_s - 1.0, lambda: fired.append("overdue"))
        clock.call_at(now_s + 0.01, lambda: fired.append("never")).cancel()
        assert fired == []
        await done.wait()
        assert fired == ["overdue", "first", "second"]
        assert clock.monotonic() >= now_s + 0.03

    stand.run(story)


def test_a_timer_that_fails_hurts_no_other(stand: Stand, caplog: pytest.LogCaptureFixture) -> None:
    async def story(one: Computer, two: Computer) -> None:
        clock, done = one.env.clock, trio.Event()
        clock.call_at(clock.monotonic(), lambda: 1 / 0)  # type: ignore[arg-type, return-value]
        clock.call_at(clock.monotonic() + 0.01, done.set)
        await done.wait()

    with caplog.at_level(logging.ERROR):
        stand.run(story, bugs=1)
    assert ("ZeroDivisionError" in caplog.text) == stand.real


# -- entropy -------------------------------------------------------------------------------------
def test_tokens_do_not_repeat_and_choices_are_in_range(stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        tokens = [each.env.entropy.token(16) for each in (one, two) for _ in range(50)]
        assert len(set(tokens)) == 100
        assert {len(token) for token in tokens} == {16}
        assert all(0.0 <= one.env.entropy.random() < 1.0 for _ in range(100))

    stand.run(story)


# -- disk ----------------------------------------------------------------------------------------
def test_files_are_written_read_listed_and_removed(stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        disk = one.env.disk
        disk.write("a/b/c", b"one")
        disk.write("a/b/c", b"two", private=True)
        disk.write("a/x", b"")
        assert (disk.read("a/b/c"), disk.read("a/x"), disk.read("a/none")) == (b"two", b"", None)
        assert (disk.names("a"), disk.names("a/b"), disk.names("nowhere")) == (
            ["b", "x"],
            ["c"],
            [],
        )
        assert [(name, info.size_bytes) for name, info in disk.files("a")] == [("x", 0)]
        assert disk.exists("a")
        assert disk.exists("a/b/c")
        assert not disk.exists("b")
        disk.remove("a/x")
        disk.remove("a/x")
        disk.remove_tree("a/b")
        disk.remove_tree("a/b")
        assert disk.names("a") == []
        assert two.env.disk.read("a/b/c") is None

    stand.run(story)


def test_a_file_can_be_read_and_written_anywhere_also_by_the_next_who_opens_it(
    stand: Stand,
) -> None:
    async def story(one: Computer, two: Computer) -> None:
        disk = one.env.disk
        with disk.create("part/x") as file:
            file.write_at(5, b"world")
            assert file.read_at(0, 100) == b"\0\0\0\0\0world"
        with disk.reopen("part/x") as file:
            file.write_at(0, b"hello")
            assert file.read(3) == b"hel"
            assert file.read_at(7, 2) == b"rl"
            assert file.read(100) == b"loworld"
            assert file.read_at(10, 5) == file.read_at(99, 5) == b""
        with disk.open("part/x") as file:
            assert file.read_at(5, 5) == b"world"
        with pytest.raises(FileNotFoundError):
            disk.reopen("part/none")

    stand.run(story)


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../../x", "a\0b"])
def test_names_may_not_escape(stand: Stand, name: str) -> None:
    async def story(one: Computer, two: Computer) -> None:
        disk = one.env.disk
        for call in (
            lambda: disk.write(name, b"x"),
            lambda: disk.append(name, b"x"),
            lambda: disk.create(name),
            lambda: disk.open(name),
            lambda: disk.rename(name, "x"),
            lambda: disk.path(name),
        ):
            with pytest.raises(ValueError, match="relative path"):
                call()

    stand.run(story)


def test_logs_grow_and_shrink(stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        disk = one.env.disk
        disk.append("log/0", b"abc")
        disk.append("log/0", b"def")
        disk.sync("log/0")
        disk.truncate("log/0", 4)
        disk.append("log/0", b"!")
        assert disk.read("log/0") == b"abcd!"
        disk.truncate("log/0", 7)
        assert disk.read("log/0") == b"abcd!\0\0"
        disk.write("log/0", b"new")
        disk.append("log/0", b"+")
        assert disk.read("log/0") == b"new+"
        disk.remove("log/0")
        disk.append("log/0", b"again")
        assert disk.read("log/0") == b"again"
        with pytest.raises(FileNotFoundError):
            disk.truncate("log/none", 0)

    stand.run(story)


def test_large_files_are_made_renamed_and_read_in_parts(stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        disk = one.env.disk
        with disk.create("tmp/1") as file:
            file.write(b"abc")
            file.write(b"def")
            assert file.info().size_bytes == 6
        with pytest.raises(FileExistsError):
            disk.create("tmp/1")
        disk.write("blobs/x", b"old")
        disk.rename("tmp/1", "blobs/x")
        assert (disk.exists("tmp/1"), disk.read("blobs/x")) == (False, b"abcdef")
        with disk.open("blobs/x") as file:
            disk.remove("blobs/x")
            assert [file.read(4), file.read(4), file.read(4)] == [b"abcd", b"ef", b""]
            file.close()
        with pytest.raises(FileNotFoundError):
            disk.rename("tmp/1", "blobs/y")
        with pytest.raises(FileNotFoundError):
            disk.open("blobs/x")
        disk.write("folder/file", b"")
        with pytest.raises(NotPlainFile):
            disk.open("folder")
        with pytest.raises(OSError, match=r".") as caught:
            disk.write("folder/file/below", b"")
        assert caught.value.errno in (errno.ENOTDIR, errno.EEXIST)

    stand.run(story)


def test_a_files_state_changes_with_its_bytes_only(stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        disk = one.env.disk
        disk.append("log", b"abc")
        before = disk.info("log")
        assert before is not None
        disk.read("log")
        assert disk.info("log") == before or stand.real
        with disk.open("log") as file:
            assert file.info().state == before.state
        disk.append("log", b"d")
        after = disk.info("log")
        assert after is not None
        assert after.state != before.state
        assert after.size_bytes == 4
        assert disk.info("none") is None
        assert disk.info(".") is None or not stand.real

    stand.run(story)


def test_real_files_come_in_or_are_copied_and_go_out(stand: Stand, tmp_path: Path) -> None:
    async def story(one: Computer, two: Computer) -> None:
        disk = one.env.disk
        made = tmp_path / "made"
        made.write_bytes(b"output")
        taken = disk.take(str(made), "blobs/x")
        if taken is None:
            assert made.read_bytes() == b"output"
            with disk.create("blobs/x") as file:
                file.write(b"output")
            taken = disk.open("blobs/x")
        with taken, (tmp_path / "placed").open("wb") as placed:
            assert taken.read(3) == b"out"
            taken.copy_to(placed.fileno())
        assert (tmp_path / "placed").read_bytes() == b"put"
        with pytest.raises(NotPlainFile):
            disk.take(str(tmp_path), "blobs/y")
        with pytest.raises(FileNotFoundError):
            disk.take(str(tmp_path / "none"), "blobs/y")

    stand.run(story)


def test_one_user_at_a_time_holds_the_lock(stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        disk = one.env.disk
        with disk.lock("node.lock", b"4711"):
            assert disk.read("node.lock") == b"4711"
            with pytest.raises(AlreadyLocked):
                disk.lock("node.lock", b"4712").__enter__()
            with two.env.disk.lock("node.lock", b"elsewhere"):
                pass
        assert disk.read("node.lock") == b""
        with disk.lock("node.lock", b"4713"):
            pass

    stand.run(story)


# -- readings --------------------------------------------------------------------------------------
def test_readings_are_sane(stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        readings = one.env.readings
        await one.env.clock.sleep_until(one.env.clock.monotonic() + 0.05)
        load, pressure = readings.load(), readings.pressure()
        assert 0 <= load.cpu_percent <= 100
        assert load.memory_free_mib > 0
        assert all(0.0 <= each <= 100.0 for each in (pressure.cpu, pressure.memory, pressure.io))
        assert readings.cores >= 1
        assert readings.process_id > 0
        assert 0.0 <= readings.lag_s() < 60.0

    stand.run(story)


def test_a_deadline_that_has_passed_already_makes_nobody_late(stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        clock, fired = one.env.clock, trio.Event()
        await clock.sleep_until(clock.monotonic() + 0.05)
        clock.call_at(clock.monotonic() - 1000.0, fired.set)
        await fired.wait()
        assert one.env.readings.lag_s() < 100.0

    stand.run(story)


# -- actions -------------------------------------------------------------------------------------
MOUNT = "/vitte/project"


def a_job(
    store: BlobStore, script: str, outputs: tuple[str, ...] = (), timeout_s: float = 60.0
) -> Job:
    source = b"int main(void) { return 0; }\n"
    tree = Tree((TreeEntry(f"{MOUNT}/main.c", FILE, store.put(source), len(source)),))
    action = Action(
        argv=("/bin/sh", "-c", script),
        env=(EnvVar("PATH", "/usr/bin:/bin"),),
        cwd=MOUNT,
        mounts=(MOUNT,),
        inputs=store.put(encode_struct(tree)),
        outputs=tuple(OutputSpec(f"{MOUNT}/{path}") for path in outputs),
        toolchain=digest_of(b""),
    )
    return Job(action, tree, timeout_s=timeout_s)


def test_actions_leave_outputs_end_with_a_status_and_keep_their_time(stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        store = BlobStore(one.env.disk)
        setup = ActionSetup(slots=2, sandbox="auto")
        async with one.env.actions.open(setup, store, FileHasher()) as runner:
            made = await runner.execute(a_job(store, "echo made; cp main.c out", ("out",)))
            assert made.exit_status == 0
            assert [entry.path for entry in made.outputs] == [f"{MOUNT}/out"]
            assert store.has(made.outputs[0].digest)
            assert made.stdout.inline == b"made\n"
            failed = await runner.execute(a_job(store, "exit 3", ("out",)))
            assert (failed.exit_status, failed.outputs) == (3, ())
            with pytest.raises(ShardTimedOut):
                await runner.execute(a_job(store, "sleep 30", timeout_s=0.3))
            with trio.move_on_after(0.2) as waited:
                await runner.execute(a_job(store, "sleep 30"))
            assert waited.cancelled_caught
            assert runner.busy == 0
            assert runner.sandbox.kind

    stand.run(story)


def test_actions_say_what_is_missing(stand: Stand) -> None:
    async def story(one: Computer, two: Computer) -> None:
        store = BlobStore(one.env.disk)
        async with one.env.actions.open(ActionSetup(slots=1), store, FileHasher()) as runner:
            script = "true" if stand.real else "sim forget=out"
            with pytest.raises(OutputMissing):
                await runner.execute(a_job(store, script, ("out",)))
            job = a_job(store, "true")
            lost = TreeEntry(f"{MOUNT}/lost.c", FILE, digest_of(b"lost"), 4)
            with pytest.raises(BlobMissing):
                await runner.execute(Job(job.action, Tree((lost,))))

    stand.run(story)
