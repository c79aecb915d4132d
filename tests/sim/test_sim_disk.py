"""The simulated disk: what a power cut leaves, and how each fault shows."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import StoreFull
from mesh.ports.disk import AlreadyLocked
from sim.disk import DiskPort, SimDisk, SimDiskConfig
from sim.disk.journal import WRITEBACK_S
from sim.world import World


class Machine:
    """A disk and a life on it."""

    def __init__(self, seed: int = 1, quota_bytes: int | None = None) -> None:
        self.world = World(seed)
        self.disk = SimDisk(self.world, "disk", SimDiskConfig(quota_bytes))
        self.stalled_s = 0.0
        self.port: DiskPort
        self.boot()

    def boot(self) -> None:
        self.port = self.disk.open(self._stall)

    def _stall(self, duration_s: float) -> None:
        self.stalled_s += duration_s

    def kill(self) -> None:
        self.port.detach()
        self.boot()

    def power_cut(self) -> None:
        self.port.detach()
        self.disk.power_cut()
        self.boot()


def raises_errno(number: int, call: Callable[[], object]) -> None:
    with pytest.raises(OSError, match=rf"^\[Errno {number}\]"):
        call()


# -- crashes -------------------------------------------------------------------------------------
def test_a_kill_loses_nothing_and_ends_the_ports_life() -> None:
    machine = Machine()
    old = machine.port
    old.append("log", b"never synced")
    file = old.create("blob")
    machine.kill()
    assert machine.port.read("log") == b"never synced"
    raises_errno(errno.EIO, lambda: old.append("log", b"ghost"))
    raises_errno(errno.EIO, lambda: file.write(b"ghost"))
    assert machine.port.read("log") == b"never synced"


@pytest.mark.parametrize("seed", range(20))
def test_a_power_cut_keeps_what_was_written_or_synced(seed: int) -> None:
    machine = Machine(seed)
    machine.port.write("state", b"old")
    machine.port.write("state", b"new")
    machine.port.append("log", b"synced")
    machine.port.sync("log")
    machine.port.append("log", b" and not")
    machine.power_cut()
    assert machine.port.read("state") == b"new"
    log = machine.port.read("log")
    assert log is not None
    assert log.startswith(b"synced")
    rest = log[6:].rstrip(b"\0")
    assert b" and not".startswith(rest)


def outcomes(story: Callable[[DiskPort], None], name: str) -> set[bytes | None]:
    """What a file may be after a power cut, over many seeds."""
    found = set()
    for seed in range(60):
        machine = Machine(seed)
        story(machine.port)
        machine.power_cut()
        found.add(machine.port.read(name))
    return found


def test_an_unsynced_append_is_there_or_torn_or_gone() -> None:
    found = outcomes(lambda port: port.append("log", b"abcdef"), "log")
    assert {None, b"abcdef", b""} <= found
    assert any(each and 0 < len(each.rstrip(b"\0")) < 6 for each in found)
    assert any(each and each.endswith(b"\0") for each in found)


def test_a_rename_is_kept_or_dropped_and_may_overtake_the_bytes() -> None:
    def story(port: DiskPort) -> None:
        port.write("state", b"old")
        with port.create("state.new") as file:
            file.write(b"new")
        port.rename("state.new", "state")

    found = outcomes(story, "state")
    assert {b"old", b"new", b""} <= found


def test_a_removal_is_kept_or_dropped() -> None:
    def story(port: DiskPort) -> None:
        port.write("state", b"old")
        port.remove("state")

    assert outcomes(story, "state") == {b"old", None}


def test_time_makes_everything_durable() -> None:
    machine = Machine()
    machine.port.append("log", b"old news")
    machine.world.run_until(WRITEBACK_S + 1)
    machine.power_cut()
    assert machine.port.read("log") == b"old news"


def test_an_older_unsynced_file_of_that_name_does_not_come_back() -> None:
    machine = Machine()
    machine.port.append("log", b"draft")
    machine.port.write("log", b"final")
    machine.world.run_until(WRITEBACK_S + 1)
    machine.power_cut()
    assert machine.port.read("log") == b"final"


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["write", "append", "sync", "truncate", "rename", "remove", "create"]),
        st.sampled_from(["a", "b", "d/c"]),
        st.sampled_from(["a", "b", "d/c"]),
    ),
    max_size=25,
)


def play(machine: Machine, steps: list[tuple[str, str, str]]) -> dict[str, bytes]:
    """Carry them out where they make sense; returns what was durable for certain at the end: the
    last synced content of names that were only appended to since."""
    port, certain = machine.port, dict[str, bytes]()
    for number, (verb, name, other) in enumerate(steps):
        data = f"<{number}>".encode()
        if verb == "write":
            port.write(name, data)
            certain[name] = data
        elif verb == "append":
            port.append(name, data)
        elif verb == "sync":
            port.sync(name)
            certain[name] = port.read(name) or b""
        elif verb == "create" and not port.exists(name):
            port.create(name).close()
        elif verb in ("truncate", "rename", "remove") and port.exists(name):
            certain.pop(name, None)
            if verb == "truncate":
                port.truncate(name, 2)
            elif verb == "remove":
                port.remove(name)
            else:
                certain.pop(other, None)
                port.rename(name, other)
    return certain


@given(STEPS, st.integers(0, 1000))
def test_what_was_synced_survives_any_power_cut(
    steps: list[tuple[str, str, str]], seed: int
) -> None:
    machine = Machine(seed)
    certain = play(machine, steps)
    touched = {each for verb, *names in steps if verb in ("rename", "remove") for each in names}
    machine.power_cut()
    for name, data in certain.items():
        if name not in touched:
            assert (machine.port.read(name) or b"").startswith(data)


@given(STEPS)
def test_the_account_of_bytes_is_right(steps: list[tuple[str, str, str]]) -> None:
    machine = Machine()
    play(machine, steps)
    for _ in range(2):
        files = [node for _, node in machine.disk.seen]
        assert machine.disk.used_bytes == sum(len(node.data) for node in files)
        machine.power_cut()


@given(STEPS, st.integers(0, 1000))
def test_the_same_seed_leaves_the_same_disk(steps: list[tuple[str, str, str]], seed: int) -> None:
    images = []
    for _ in range(2):
        machine = Machine(seed)
        play(machine, steps)
        machine.power_cut()
        images.append((machine.disk.snapshot(), machine.world.trace_digest()))
    assert images[0] == images[1]


def test_a_power_cut_at_the_third_sync_leaves_two() -> None:
    machine = Machine()
    port, syncs = machine.port, []

    def watch(operation: str, name: str) -> None:
        syncs.extend([name] if operation == "write" else [])
        if len(syncs) == 3 and port.attached:
            machine.power_cut()

    machine.disk.watchers.append(watch)
    port.write("one", b"1")
    port.write("two", b"2")
    raises_errno(errno.EIO, lambda: port.write("three", b"3"))
    assert machine.port.names("") == ["one", "two"]


# -- old and new disks ---------------------------------------------------------------------------
def test_an_old_disk_comes_back_and_a_new_one_is_empty() -> None:
    machine = Machine()
    machine.port.write("key", b"k", private=True)
    image = machine.disk.snapshot()
    machine.port.write("key", b"changed")
    machine.port.write("more", b"m")
    machine.disk.restore(image)
    machine.power_cut()
    assert machine.port.names("") == ["key"]
    assert machine.port.read("key") == b"k"
    machine.disk.wipe()
    assert machine.port.names("") == []
    assert machine.disk.used_bytes == 0


# -- faults --------------------------------------------------------------------------------------
def test_a_full_disk_is_said_and_damages_nothing() -> None:
    machine = Machine(quota_bytes=1000)
    port = machine.port
    port.write("state", b"good")
    port.append("log", b"whole")
    for call in (
        lambda: port.write("state", bytes(1000)),
        lambda: port.append("log", bytes(1000)),
        lambda: port.create("blob").write(bytes(1000)),
    ):
        with pytest.raises(StoreFull):
            call()
    assert (port.read("state"), port.read("log")) == (b"good", b"whole")


def test_a_disk_fills_up_and_is_emptied() -> None:
    machine = Machine()
    machine.port.append("log", bytes(100))
    fault = machine.disk.fill(free_bytes=10)
    machine.port.append("log", bytes(10))
    with pytest.raises(StoreFull):
        machine.port.append("log", b"x")
    machine.port.truncate("log", 50)
    machine.port.append("log", b"x")
    fault.undo()
    machine.port.append("log", bytes(1000))


def test_a_read_only_disk_can_be_read() -> None:
    machine = Machine()
    port = machine.port
    port.write("state", b"good")
    fault = machine.disk.read_only()
    for change in (
        lambda: port.write("state", b"x"),
        lambda: port.append("log", b"x"),
        lambda: port.create("blob"),
        lambda: port.remove("state"),
        lambda: port.rename("state", "other"),
        lambda: port.truncate("state", 0),
    ):
        raises_errno(errno.EROFS, change)
    assert port.read("state") == b"good"
    fault.undo()
    port.write("state", b"better")


def test_reads_fail_where_told() -> None:
    machine = Machine()
    machine.port.write("blobs/x", b"1")
    machine.port.write("state", b"2")
    fault = machine.disk.fail_reads(names="blobs/*")
    raises_errno(errno.EIO, lambda: machine.port.read("blobs/x"))
    raises_errno(errno.EIO, lambda: machine.port.open("blobs/x").read(10))
    assert machine.port.read("state") == b"2"
    fault.undo()
    assert machine.port.read("blobs/x") == b"1"


def test_a_fault_whose_disk_was_wiped_meanwhile_ends_quietly() -> None:
    """Found by exploring: profile everything, seed 7."""
    machine = Machine()
    trouble = machine.disk.fail_reads(1.0)
    machine.disk.wipe()
    trouble.undo()
    machine.port.write("key", b"k")
    assert machine.port.read("key") == b"k"


def test_some_writes_fail() -> None:
    machine = Machine()
    machine.disk.fail_writes(chance=0.5)
    failed = 0
    for _ in range(100):
        try:
            machine.port.append("log", b"x")
        except OSError:
            failed += 1
    assert 30 <= failed <= 70
    assert len(machine.port.read("log") or b"") == 100 - failed


def test_a_failed_sync_loses_what_a_later_one_claims() -> None:
    machine = Machine()
    machine.port.append("log", b"one ")
    machine.port.sync("log")
    machine.port.append("log", b"two ")
    fault = machine.disk.fail_syncs()
    raises_errno(errno.EIO, lambda: machine.port.sync("log"))
    raises_errno(errno.EIO, lambda: machine.port.write("state", b"x"))
    fault.undo()
    machine.port.append("log", b"three")
    machine.port.sync("log")
    assert machine.port.read("log") == b"one two three"
    machine.power_cut()
    assert machine.port.read("log") == b"one \0\0\0\0three"
    assert machine.port.read("state") is None


def test_a_disk_that_lies_about_syncs() -> None:
    def lost(seed: int) -> bool:
        machine = Machine(seed)
        machine.disk.lose_syncs()
        machine.port.write("state", b"important")
        machine.power_cut()
        return machine.port.read("state") != b"important"

    assert 5 < sum(lost(seed) for seed in range(40)) < 35


def test_slow_syncs_and_reads_take_time() -> None:
    machine = Machine()
    machine.disk.slow_syncs(0.5)
    fault = machine.disk.slow_syncs(1.0)
    machine.port.write("state", b"x")
    assert machine.stalled_s == 1.5
    fault.undo()
    machine.port.sync("state")
    assert machine.stalled_s == 2.0
    machine.disk.heal()
    machine.disk.slow_reads(0.25)
    machine.port.read("state")
    machine.port.sync("state")
    assert machine.stalled_s == 2.25


def test_bits_rot_at_rest_and_survive_a_power_cut() -> None:
    machine = Machine()
    machine.port.write("blob", bytes(100))
    assert machine.disk.rot("blob", bits=1) == "blob"
    machine.power_cut()
    data = machine.port.read("blob") or b""
    assert (len(data), sum(byte.bit_count() for byte in data)) == (100, 1)
    assert machine.disk.rot("no such file") is None


def test_a_file_loses_its_end() -> None:
    machine = Machine()
    machine.port.write("blob", b"x" * 100)
    before = machine.port.info("blob")
    assert machine.disk.tear() == "blob"
    machine.power_cut()
    data = machine.port.read("blob") or b""
    assert data == b"x" * len(data)
    assert len(data) < 100
    assert machine.port.info("blob") != before
    assert machine.disk.used_bytes == len(data)


# -- locks ---------------------------------------------------------------------------------------
def test_a_lock_is_freed_by_a_kill_and_by_a_power_cut() -> None:
    machine = Machine()
    for end in (machine.kill, machine.power_cut):
        with machine.port.lock("node.lock", b"pid 1"):
            with pytest.raises(AlreadyLocked):
                machine.disk.open().lock("node.lock", b"pid 2").__enter__()
            end()
        with machine.port.lock("node.lock", b"pid 3"):
            assert machine.port.read("node.lock") == b"pid 3"


def test_real_files_are_on_another_disk(tmp_path: Path) -> None:
    machine = Machine()
    real = tmp_path / "output"
    real.write_bytes(b"made")
    assert machine.port.take(str(real), "blob") is None
    assert real.exists()
    assert not machine.port.exists("blob")
    with machine.port.create("blob") as file:
        file.write(b"made")
    with machine.port.open("blob") as file, (tmp_path / "copy").open("wb") as copy:
        file.copy_to(copy.fileno())
    assert (tmp_path / "copy").read_bytes() == b"made"
