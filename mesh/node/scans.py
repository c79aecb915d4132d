"""The memory of dependency scans on disk: an append-only file of (key, value), newest wins.

A cache in every sense: a torn tail or a damaged record costs one question to the compiler. Used
from several threads.
"""

from __future__ import annotations

import logging
import struct
import threading
from zlib import crc32

from mesh.cas.files import read_cache
from mesh.errors import EnvironmentFault
from mesh.limits import MIB
from mesh.ports import Disk

SCANS_FILE = "cache/scans"
SCANS_BYTES_MAX = 128 * MIB
logger = logging.getLogger(__name__)
_HEAD = struct.Struct(">III")  # key bytes, value bytes, CRC-32 of both


class DiskScans:
    """Implements `mesh.planners.scan.ScanStore`."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._lock = threading.Lock()
        self._values: dict[bytes, bytes] = {}
        self._file_bytes = 0
        self._load()

    def get(self, key: bytes) -> bytes | None:
        return self._values.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        with self._lock:
            if self._values.get(key) == value:
                return
            self._values.pop(key, None)  # re-inserted at the end: the newest survive a trim
            self._values[key] = value
            record = _record(key, value)
            self._file_bytes += len(record)
            try:
                if self._file_bytes > SCANS_BYTES_MAX:
                    self._rewrite()
                else:
                    self._disk.append(SCANS_FILE, record)
            except (EnvironmentFault, OSError) as error:  # known until the process ends, at least
                logger.warning("a scan could not be stored: %s", error)

    def _load(self) -> None:
        data = read_cache(self._disk, SCANS_FILE) or b""
        at = 0
        while at + _HEAD.size <= len(data):
            key_bytes, value_bytes, check = _HEAD.unpack_from(data, at)
            end = at + _HEAD.size + key_bytes + value_bytes
            body = data[at + _HEAD.size : end]
            if end > len(data) or crc32(body) != check:
                break
            self._values.pop(body[:key_bytes], None)
            self._values[body[:key_bytes]] = body[key_bytes:]
            at = end
        self._file_bytes = at
        if at < len(data):
            self._disk.truncate(SCANS_FILE, at)

    def _rewrite(self) -> None:
        """Keep the newest half."""
        kept, size = [], 0
        for key, value in reversed(self._values.items()):
            size += _HEAD.size + len(key) + len(value)
            if size > SCANS_BYTES_MAX // 2:
                break
            kept.append((key, value))
        self._values = dict(reversed(kept))
        data = b"".join(_record(key, value) for key, value in self._values.items())
        self._disk.write(SCANS_FILE, data)
        self._file_bytes = len(data)


def _record(key: bytes, value: bytes) -> bytes:
    body = key + value
    return _HEAD.pack(len(key), len(value), crc32(body)) + body
