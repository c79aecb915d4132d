"""What each kind of fault of disks does to what is read and written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fault_stands import Effect, Effects, fault_of, shows, whole

from mesh.errors import MeshError
from sim.faults import begin

COUNT = 60
SIZE_BYTES = 2000


def fails(action: Callable[[], object]) -> bool:
    try:
        action()
    except (OSError, MeshError):
        return True
    return False


def write_some(port: Any) -> None:
    for number in range(COUNT):
        port.write(f"file{number}", b"x" * SIZE_BYTES)


def write_more(port: Any) -> None:
    for number in range(COUNT):
        port.append(f"file{number}", b"x" * 10)


def sync_some(port: Any) -> None:
    for number in range(COUNT):
        port.sync(f"file{number}")


def read_some(port: Any) -> None:
    for number in range(COUNT):
        assert port.read(f"file{number}").startswith(b"x" * SIZE_BYTES)


def refuses(action: Callable[[Any], None], works: Callable[[Any], None]) -> Effect:
    """One thing fails until undone, another one works meanwhile; another machine has no trouble."""

    def effect(name: str) -> None:
        stage = whole()
        port, other = stage.disk(0).open(), stage.disk(1).open()
        for each in (port, other):
            write_some(each)
        wanted = {"free_bytes": 100.0} if name == "disk_full" else {}
        undo = begin(stage, fault_of(name, 0, **wanted))
        assert fails(lambda: action(port))
        works(port)
        action(other)
        undo()
        for do in (write_some, write_more, sync_some, read_some):
            do(port)

    return effect


def slow(action: Callable[[Any], None], quick: Callable[[Any], None]) -> Effect:
    """So many of half a second each, until undone."""

    def effect(name: str) -> None:
        stage = whole()
        spent_s: list[float] = []
        port = stage.disk(0).open(spent_s.append)

        def takes_s(do: Callable[[Any], None]) -> float:
            spent_s.clear()
            do(port)
            return sum(spent_s)

        write_some(port)
        undo = begin(stage, fault_of(name, 0, duration_s=0.5))
        assert takes_s(action) >= COUNT / 2
        assert takes_s(quick) < 1
        undo()
        assert takes_s(action) < 1

    return effect


def disk_lies(name: str) -> None:
    """What it called synced is gone in part when the power fails; not what came before or after."""
    stage = whole()
    disk = stage.disk(0)

    def kept(word: str) -> int:
        port = disk.open()
        for number in range(20):
            port.write(f"{word}{number}", b"kept")
        port.detach()
        disk.power_cut()
        after = disk.open()
        return sum(after.read(f"{word}{number}") == b"kept" for number in range(20))

    assert kept("before") == 20
    undo = begin(stage, fault_of(name, 0))
    assert kept("promise") < 20
    undo()
    assert kept("after") == 20


def damages(name: str) -> None:
    """One file is another one, as far as can be read; never the one with the key."""
    stage = whole()
    write_some(stage.disk(0).open())
    before = {name: data for name, data, _ in stage.disk(0).snapshot().files}
    begin(stage, fault_of(name, 0))
    after = {name: data for name, data, _ in stage.disk(0).snapshot().files}
    (hit,) = [each for each in before if after[each] != before[each]]
    assert not hit.startswith("identity/")
    if name == "disk_tear":
        assert len(after[hit]) < len(before[hit])
        assert before[hit].startswith(after[hit])
    else:
        changed = zip(before[hit], after[hit], strict=True)
        assert 1 <= sum((a ^ b).bit_count() for a, b in changed) <= 16


EFFECTS: Effects = {
    "disk_full": refuses(write_more, read_some),
    "disk_read_only": refuses(write_more, read_some),
    "disk_write_errors": refuses(write_more, read_some),
    "disk_sync_errors": refuses(sync_some, write_more),
    "disk_read_errors": refuses(read_some, write_more),
    "disk_slow_syncs": slow(sync_some, read_some),
    "disk_slow_reads": slow(read_some, sync_some),
    "disk_lies": disk_lies,
    "disk_rot": damages,
    "disk_tear": damages,
}


@pytest.mark.parametrize("name", EFFECTS)
def test_a_kind_of_disks_does_what_it_says_until_undone(name: str) -> None:
    shows(EFFECTS, name)
