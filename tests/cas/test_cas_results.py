"""ResultCache: survives restarts and torn tails, stays within its bounds."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesh.action.model import SignedResult
from mesh.cas import results
from mesh.cas.results import ResultCache
from mesh.ports.real.disk import RealDisk
from mesh.types import Digest, digest_of

SEGMENT = "results/segment"


def action(number: int) -> Digest:
    return digest_of(number.to_bytes(8, "big"))


def signed(number: int, size_bytes: int = 20) -> SignedResult:
    return SignedResult(bytes([number % 256]) * size_bytes, bytes([number % 256]) * 64)


@pytest.fixture
def disk(tmp_path: Path) -> RealDisk:
    return RealDisk(tmp_path)


def test_what_was_put_is_there_after_a_restart(disk: RealDisk) -> None:
    cache = ResultCache(disk)
    for number in range(10):
        cache.put(signed(number), action(number))
    cache.put(signed(77), action(3))
    cache.forget(action(4))
    for each in (cache, ResultCache(disk)):
        assert len(each) == 9
        assert each.get(action(3)) == signed(77)
        assert each.get(action(4)) is None
        assert each.many([action(1), action(4), action(99)]) == {action(1): signed(1)}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(min_value=1, max_value=400))
def test_torn_tail_loses_only_what_was_torn(disk: RealDisk, cut: int) -> None:
    disk.remove(SEGMENT)
    cache = ResultCache(disk)
    for number in range(4):
        cache.put(signed(number), action(number))
    whole = disk.read(SEGMENT)
    assert whole is not None
    record = len(whole) // 4
    kept = max(0, len(whole) - cut)
    disk.truncate(SEGMENT, kept)
    cache = ResultCache(disk)
    assert len(cache) == kept // record
    assert cache.torn_bytes == kept % record
    cache.put(signed(9), action(9))  # and appending goes on behind the last whole record
    assert ResultCache(disk).get(action(9)) == signed(9)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(min_value=0, max_value=10_000), flip=st.integers(1, 255))
def test_damaged_byte_never_yields_a_wrong_result(disk: RealDisk, position: int, flip: int) -> None:
    disk.remove(SEGMENT)
    cache = ResultCache(disk)
    for number in range(4):
        cache.put(signed(number), action(number))
    data = bytearray(disk.read(SEGMENT) or b"")
    data[position % len(data)] ^= flip
    disk.write(SEGMENT, bytes(data))
    again = ResultCache(disk)
    for number in range(4):
        assert again.get(action(number)) in (None, signed(number))
    assert len(again) < 4


def test_overwriting_does_not_grow_the_file_for_ever(
    disk: RealDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "_COMPACT_BYTES_MIN", 4096)
    cache = ResultCache(disk)
    for number in range(1000):
        cache.put(signed(number), action(number % 5))
    assert len(disk.read(SEGMENT) or b"") <= 4096 + 200
    assert ResultCache(disk).many(map(action, range(5))) == {
        action(number): signed(995 + number) for number in range(5)
    }


def test_bounded_and_the_oldest_goes_first(disk: RealDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "RESULTS_BYTES_MAX", 10_000)
    monkeypatch.setattr(results, "_COMPACT_BYTES_MIN", 4096)
    cache = ResultCache(disk)
    for number in range(100):
        cache.put(signed(number, 1000), action(number))
    assert cache.get(action(0)) is None
    assert cache.get(action(99)) == signed(99, 1000)
    assert len(cache) <= 10
    assert len(disk.read(SEGMENT) or b"") <= 2 * 10_000 + 1200


def test_putting_the_same_again_writes_nothing(disk: RealDisk) -> None:
    cache = ResultCache(disk)
    cache.put(signed(1), action(1))
    before = disk.read(SEGMENT)
    cache.put(signed(1), action(1))
    assert disk.read(SEGMENT) == before
