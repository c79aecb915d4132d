"""The local action cache: action digest -> signed result, in one append-only segment file.

Rules
- A record is `length, crc32, kind, action, signature, body`; opening reads the segment, stops at
  the first record that is not whole and cuts the file there (a torn tail is a crash while
  appending).
- Everything is in memory too; at most RESULTS_BYTES_MAX of it, least recently put first out.
- The segment is rewritten when more than half of it is dead. No fsync per record: a lost result is
  only work done again.

Not here: trust. Whoever takes a result out checks it with `mesh.action.signing.open_result`.
Not thread-safe: the event loop owns it.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Callable, Iterable
from zlib import crc32

from mesh.action.model import SignedResult
from mesh.cas.files import read_cache
from mesh.limits import MIB, RESULTS_BYTES_MAX
from mesh.ports import Disk
from mesh.types import DIGEST_BYTES, Digest

_HEAD = struct.Struct(">II")
_PUT, _DROP = b"+", b"-"
_KIND_BYTES, _SIGNATURE_BYTES = 1, 64
_BODY_AT = _KIND_BYTES + DIGEST_BYTES + _SIGNATURE_BYTES
_COMPACT_BYTES_MIN = MIB
_DIGEST_BYTES = 8


class ResultCache:
    """See the module's head. `put` raises StoreFull."""

    def __init__(self, disk: Disk, name: str = "results/segment") -> None:
        self._disk = disk
        self._name = name
        self._results: OrderedDict[Digest, SignedResult] = OrderedDict()
        self._live_bytes = 0
        self._mixed = 0
        self.on_change: Callable[[], None] = lambda: None
        """Called when a result was added or dropped."""
        self.on_row: Callable[[Digest, SignedResult | None], None] = lambda _action, _signed: None
        """The same, with the action and its result; None: dropped."""
        self._file_bytes = 0
        self.torn_bytes = 0
        """What was cut off at the start because a crash had torn it."""
        self._load()

    def get(self, action: Digest) -> SignedResult | None:
        return self._results.get(action)

    def many(self, actions: Iterable[Digest]) -> dict[Digest, SignedResult]:
        """Those of `actions` that are known."""
        results = self._results
        return {action: results[action] for action in actions if action in results}

    def put(self, signed: SignedResult, action: Digest) -> None:
        """Keep `signed` as the result of `action`, instead of an earlier one."""
        if self._results.get(action) == signed:
            return
        self._append(_PUT + action + signed.signature + signed.body)
        self._insert(action, signed)
        self._compact_if_due()
        self.on_change()

    def rows(self) -> list[tuple[Digest, SignedResult]]:
        """All of them, the oldest first."""
        return list(self._results.items())

    def forget(self, action: Digest) -> None:
        """Drop a result (its outputs are lost, its builder revoked)."""
        if action in self._results:
            self._append(_DROP + action)
            self._remove(action)
            self._compact_if_due()
            self.on_change()

    @property
    def digest(self) -> bytes:
        """8 bytes, the same for caches of the same actions."""
        return self._mixed.to_bytes(_DIGEST_BYTES, "big")

    def __len__(self) -> int:
        return len(self._results)

    def _load(self) -> None:
        data = read_cache(self._disk, self._name) or b""
        end = 0
        while (payload := _record(data, end)) is not None:
            end += _HEAD.size + len(payload)
            self._replay(payload)
        self._file_bytes = end
        self.torn_bytes = len(data) - end
        if self.torn_bytes:
            self._disk.truncate(self._name, end)
        self._compact_if_due()

    def _replay(self, payload: bytes) -> None:
        action = Digest(payload[_KIND_BYTES : _KIND_BYTES + DIGEST_BYTES])
        if payload.startswith(_PUT):
            signature = payload[_KIND_BYTES + DIGEST_BYTES : _BODY_AT]
            self._insert(action, SignedResult(payload[_BODY_AT:], signature))
        elif action in self._results:
            self._remove(action)

    def _append(self, payload: bytes) -> None:
        record = _framed(payload)
        self._disk.append(self._name, record)
        self._file_bytes += len(record)

    def _insert(self, action: Digest, signed: SignedResult) -> None:
        if action in self._results:
            self._remove(action)
        self._results[action] = signed
        self._mixed ^= int.from_bytes(action[:_DIGEST_BYTES], "big")
        self._live_bytes += _size(signed)
        self.on_row(action, signed)
        while self._live_bytes > RESULTS_BYTES_MAX and len(self._results) > 1:
            self._remove(next(iter(self._results)))

    def _remove(self, action: Digest) -> None:
        self._live_bytes -= _size(self._results.pop(action))
        self._mixed ^= int.from_bytes(action[:_DIGEST_BYTES], "big")
        self.on_row(action, None)

    def _compact_if_due(self) -> None:
        if self._file_bytes < max(_COMPACT_BYTES_MIN, 2 * self._live_bytes):
            return
        data = b"".join(
            _framed(_PUT + action + signed.signature + signed.body)
            for action, signed in self._results.items()
        )
        self._disk.write(self._name, data)
        self._file_bytes = len(data)


def _size(signed: SignedResult) -> int:
    return _HEAD.size + _BODY_AT + len(signed.body)


def _framed(payload: bytes) -> bytes:
    return _HEAD.pack(len(payload), crc32(payload)) + payload


def _record(data: bytes, start: int) -> bytes | None:
    """The payload of the record at `start`; None when there is no whole one."""
    if len(data) - start < _HEAD.size:
        return None
    length, checksum = _HEAD.unpack_from(data, start)
    payload = data[start + _HEAD.size : start + _HEAD.size + length]
    if len(payload) != length or crc32(payload) != checksum:
        return None
    well_formed = length >= _BODY_AT if payload[:1] == _PUT else length == 1 + DIGEST_BYTES
    return payload if well_formed else None
