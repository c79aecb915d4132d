"""Packs: what was put comes back, also for the next process, also after a crash; holes go away."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.cas import packs as packs_module
from mesh.cas.packfile import (
    BLOB,
    HEAD_BYTES,
    MANIFEST,
    Row,
    decode_index,
    encode_index,
    record,
    scan,
)
from mesh.cas.packs import Packs
from mesh.errors import StoreFull
from mesh.ports.real.disk import RealDisk
from mesh.types import Digest, digest_of
from sim.disk import SimDisk
from sim.kernel.world import World

FOLDER = "packs"


def new_disk(seed: int = 1) -> SimDisk:
    return SimDisk(World(seed), "disk")


def packs_on(disk: SimDisk) -> Packs:
    return Packs(disk.open(), FOLDER)


def blobs(count: int, size: int = 100) -> list[tuple[Digest, bytes]]:
    contents = [(b"%06d" % number) * (size // 6) for number in range(count)]
    return [(digest_of(data), data) for data in contents]


def assert_holds(packs: Packs, wanted: list[tuple[Digest, bytes]]) -> None:
    for blob, data in wanted:
        assert packs.get(blob) == data
        assert packs.size(blob) == len(data)
        assert packs.has(blob)


# -- the bytes -------------------------------------------------------------------------------------
@given(st.lists(st.tuples(st.sampled_from([BLOB, MANIFEST]), st.binary(max_size=80)), max_size=6))
def test_records_come_back_in_order(contents: list[tuple[int, bytes]]) -> None:
    data = b"".join(record(kind, digest_of(each), each) for kind, each in contents)
    found = scan(data, 1000)
    assert found.end == 1000 + len(data)
    assert found.damaged == 0
    assert [(row.kind, row.blob) for row in found.rows] == [(k, digest_of(c)) for k, c in contents]
    for row, (_, each) in zip(found.rows, contents, strict=True):
        assert data[row.offset - 1000 :][: row.size_bytes] == each


@given(st.data())
def test_a_torn_pack_ends_at_its_last_whole_record(data: st.DataObject) -> None:
    parts = [record(BLOB, digest_of(each), each) for _, each in blobs(4)]
    cut = data.draw(st.integers(0, sum(map(len, parts)) - 1))
    whole = scan(b"".join(parts)[:cut], 0)
    assert len(whole.rows) == cut // len(parts[0])
    assert whole.end == len(whole.rows) * len(parts[0])
    assert whole.damaged == 0
    assert scan(b"".join(parts)[:cut] + bytes(300), 0).end <= cut + 300


def test_a_flipped_bit_costs_one_record() -> None:
    parts = [record(BLOB, digest_of(each), each) for _, each in blobs(3)]
    data = bytearray(b"".join(parts))
    data[len(parts[0]) + HEAD_BYTES + 7] ^= 1
    found = scan(bytes(data), 0)
    assert [row.blob for row in found.rows] == [blobs(3)[0][0], blobs(3)[2][0]]
    assert (found.damaged, found.end) == (1, len(data))


@given(st.binary(max_size=300))
def test_rubbish_is_no_record_and_no_index(data: bytes) -> None:
    assert scan(data, 0).rows == ()
    assert decode_index(data) is None


def test_an_index_comes_back() -> None:
    rows = [Row(blob, BLOB, 45 + n, len(data)) for n, (blob, data) in enumerate(blobs(5))]
    data = encode_index(12345, rows)
    found = decode_index(data)
    assert found is not None
    assert (found[0], list(found[1])) == (12345, rows)
    assert decode_index(data[:-1]) is None


# -- the store -------------------------------------------------------------------------------------
def test_what_was_put_is_there_for_the_next_process() -> None:
    disk, wanted = new_disk(), blobs(50)
    packs = packs_on(disk)
    packs.put_all(wanted)
    packs.put(*wanted[0])  # again: no second copy
    assert_holds(packs, wanted)
    assert len(packs) == 50
    assert packs.size_bytes == packs.live_bytes == 50 * HEAD_BYTES + sum(len(d) for _, d in wanted)
    again = packs_on(disk)
    assert_holds(again, wanted)
    assert again.live_bytes == packs.live_bytes
    assert again.get(digest_of(b"other")) is None
    assert again.count == 1


def test_kinds_do_not_mix() -> None:
    packs = packs_on(new_disk())
    blob = digest_of(b"x")
    packs.put(blob, b"manifest", MANIFEST)
    assert not packs.has(blob)
    assert packs.get(blob) is None
    assert packs.get(blob, MANIFEST) == b"manifest"
    packs.drop([blob])
    assert packs.get(blob, MANIFEST) is None


def test_a_full_pack_is_followed_by_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packs_module, "PACK_BYTES_MAX", 1000)
    disk, wanted = new_disk(), blobs(40)
    packs = packs_on(disk)
    packs.put_all(wanted)
    assert packs.count > 4
    assert_holds(packs, wanted)
    packs.sync()
    disk.power_cut()
    assert_holds(packs_on(disk), wanted)


def test_the_index_saves_reading_and_is_not_believed_blindly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(packs_module, "_INDEX_EVERY_BYTES", 1)
    disk, wanted = new_disk(), blobs(20)
    packs = packs_on(disk)
    packs.put_all(wanted[:10])
    packs.save()
    packs.put_all(wanted[10:])
    packs.drop([wanted[0][0]])
    assert_holds(packs_on(disk), wanted)  # what was dropped is back: nobody has written that down
    packs.save()
    again = packs_on(disk)
    assert not again.has(wanted[0][0])
    assert_holds(again, wanted[1:])
    disk.rot(f"{FOLDER}/00000000.index")
    assert_holds(packs_on(disk), wanted)


@pytest.mark.parametrize("seed", range(12))
def test_after_a_power_cut_what_was_synced_is_there_and_the_rest_is_right_or_gone(
    seed: int,
) -> None:
    disk, wanted = new_disk(seed), blobs(40)
    packs = packs_on(disk)
    packs.put_all(wanted[:20])
    packs.sync()
    for each in wanted[20:]:
        packs.put(*each)
    disk.power_cut()
    again = packs_on(disk)
    assert_holds(again, wanted[:20])
    for blob, data in wanted[20:]:
        assert again.get(blob) in (None, data)
    again.put_all(wanted)
    assert_holds(packs_on(disk), wanted)


def test_an_error_leaves_the_pack_as_it_was() -> None:
    disk, wanted = new_disk(), blobs(10)
    packs = packs_on(disk)
    packs.put_all(wanted[:5])
    fault = disk.fill()
    with pytest.raises(StoreFull):
        packs.put(*wanted[5])
    fault.undo()
    fault = disk.fail_writes()
    with pytest.raises(OSError, match="error"):
        packs.put(*wanted[6])
    fault.undo()
    assert not packs.has(wanted[5][0])
    packs.put_all(wanted)
    assert packs.count == 1
    assert_holds(packs, wanted)
    assert_holds(packs_on(disk), wanted)


def test_a_failed_sync_is_said_to_everybody_who_waits_for_it() -> None:
    disk = new_disk()
    packs = packs_on(disk)
    packs.put_all(blobs(3))
    fault = disk.fail_syncs()
    for _ in range(2):
        with pytest.raises(OSError, match="error"):
            packs.sync()
    fault.undo()
    packs.sync()


def test_a_read_only_disk_still_gives_what_it_has() -> None:
    disk, wanted = new_disk(), blobs(5)
    packs_on(disk).put_all(wanted)
    disk.tear(f"{FOLDER}/00000000.pack")
    disk.read_only()
    packs = packs_on(disk)
    assert all(packs.get(blob) in (None, data) for blob, data in wanted)
    with pytest.raises(OSError, match="Read-only"):
        packs.put_all(blobs(6))


@pytest.mark.parametrize("keep", [0, 3000])
def test_compacting_gives_the_room_back(monkeypatch: pytest.MonkeyPatch, keep: int) -> None:
    monkeypatch.setattr(packs_module, "PACK_BYTES_MAX", 2000)
    disk, wanted = new_disk(), blobs(60)
    packs = packs_on(disk)
    packs.put_all(wanted)
    before, gone = packs.size_bytes, [blob for blob, _ in wanted[::2]]
    dropped = packs.drop(gone)
    assert packs.live_bytes == before - dropped
    freed = packs.compact(keep)
    assert freed == before - packs.size_bytes > 0
    assert packs.size_bytes <= max(keep, packs.live_bytes)
    assert_holds(packs, wanted[1::2])
    disk.power_cut()  # moving was durable before the old packs went
    again = packs_on(disk)
    assert_holds(again, wanted[1::2])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.integers(0, 9)),
            st.tuples(st.just("drop"), st.integers(0, 9)),
            st.tuples(st.sampled_from(["compact", "save", "restart", "sync"]), st.just(0)),
        ),
        max_size=30,
    )
)
def test_it_is_a_set_whatever_is_done_to_it(steps: list[tuple[str, int]]) -> None:
    disk, known, model = new_disk(), blobs(10), dict[Digest, bytes]()
    packs = packs_on(disk)
    for what, which in steps:
        blob, data = known[which]
        if what == "put":
            packs.put(blob, data)
            model[blob] = data
        elif what == "drop":
            packs.drop([blob])
            model.pop(blob, None)
        elif what == "restart":
            packs.compact(0)  # else what was dropped may be back
            packs.save()
            packs = packs_on(disk)
        elif what == "compact":
            packs.compact(0)
        elif what == "save":
            packs.save()
        else:
            packs.sync()
        assert {each.blob: packs.get(each.blob) for each in packs.entries()} == model
        assert packs.live_bytes == sum(HEAD_BYTES + len(data) for data in model.values())
        assert packs.size_bytes >= packs.live_bytes


def test_threads_that_wait_for_durability_share_a_sync(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    syncs, real = list[str](), disk.sync

    def counted(name: str) -> None:
        syncs.append(name)
        real(name)

    packs = Packs(disk, FOLDER)
    wanted = blobs(64)
    all_put = threading.Barrier(8)
    disk.sync = counted  # type: ignore[method-assign]

    def work(mine: list[tuple[Digest, bytes]]) -> None:
        for each in mine:
            packs.put(*each)
        all_put.wait(10)
        packs.sync()

    threads = [threading.Thread(target=work, args=(wanted[n::8],)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(syncs) == 1
    assert_holds(Packs(disk, FOLDER), wanted)
    disk.close()


@pytest.mark.parametrize("seed", range(10))
def test_an_index_never_knows_more_than_its_pack(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Power cuts between everything: nothing that is indexed is anything else than it says."""
    monkeypatch.setattr(packs_module, "_INDEX_EVERY_BYTES", 1)
    monkeypatch.setattr(packs_module, "PACK_BYTES_MAX", 3000)
    disk, wanted = new_disk(seed), blobs(80)
    for start in range(0, 80, 20):
        packs = packs_on(disk)
        for each in packs.entries():
            data = packs.get(each.blob)
            assert data is not None
            assert digest_of(data) == each.blob
        packs.put_all(wanted[start : start + 15])
        packs.save()
        packs.put_all(wanted[start + 15 : start + 20])
        packs.drop([wanted[start][0]])
        packs.compact(0)
        disk.power_cut()
    assert_holds(packs_on(disk), [each for n, each in enumerate(wanted) if 0 < n % 20 < 15])


def test_an_index_without_its_pack_is_forgotten() -> None:
    disk = new_disk()
    port = disk.open()
    port.write(f"{FOLDER}/00000000.index", encode_index(10, [Row(digest_of(b"x"), BLOB, 0, 10)]))
    packs = packs_on(disk)
    assert len(packs) == 0
    packs.put_all(blobs(3))
    again = packs_on(disk)
    assert_holds(again, blobs(3))
    assert not again.has(digest_of(b"x"))


def test_saving_and_compacting_at_the_same_time(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    packs = Packs(disk, FOLDER)
    wanted = blobs(300)
    failed: list[BaseException] = []

    def work(what: str) -> None:
        try:
            for number in range(30):
                if what == "save":
                    packs.save()
                elif what == "compact":
                    packs.compact(0)
                else:
                    packs.put_all(wanted[10 * number : 10 * number + 10])
                    packs.drop([wanted[10 * number][0]])
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(w,)) for w in ("save", "compact", "put")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    kept = [each for number, each in enumerate(wanted) if number % 10]
    assert_holds(packs, kept)
    packs.compact(0)
    packs.save()
    assert_holds(Packs(disk, FOLDER), kept)
    disk.close()
