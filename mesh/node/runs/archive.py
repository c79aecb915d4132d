"""The runs this node started: those under way, and the records of the last ones on disk."""

from __future__ import annotations

import json
import logging

from mesh.errors import AmbiguousRun, MeshError, NoSuchRun
from mesh.limits import RUNS_KEPT_MAX
from mesh.node.runs.record import RunRecord
from mesh.ports import Disk

FOLDER = "runs"
logger = logging.getLogger(__name__)


class RunArchive:
    """Records by run id, newest last."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._records: dict[str, RunRecord] = {}
        self._load()

    def add(self, record: RunRecord) -> None:
        self._records[record.head.run] = record

    def active(self) -> list[RunRecord]:
        return [record for record in self._records.values() if record.view is None]

    def newest_first(self) -> list[RunRecord]:
        return list(reversed(self._records.values()))

    def find(self, run: str | None) -> RunRecord:
        """The run whose id starts so; None or "last": the newest.

        Raises NoSuchRun, AmbiguousRun.
        """
        if run in (None, "last"):
            if not self._records:
                raise NoSuchRun(run="yet")
            return self.newest_first()[0]
        found = [record for key, record in self._records.items() if key.startswith(run or "")]
        if len(found) > 1:
            raise AmbiguousRun(run=run, count=len(found))
        if not found:
            raise NoSuchRun(run=run)
        return found[0]

    def encode(self, record: RunRecord) -> bytes:
        """A finished record as it is stored."""
        return json.dumps(record.document(), separators=(",", ":")).encode("ascii")

    def store(self, record: RunRecord, document: bytes) -> None:
        """Write a finished record down. May run in a thread."""
        try:
            self._disk.write(_name(record), document)
        except (MeshError, OSError):
            logger.exception("the record of run %s could not be stored", record.head.run)

    def drop_oldest(self) -> None:
        """Keep RUNS_KEPT_MAX finished runs."""
        finished = [each for each in self._records.values() if each.view is not None]
        for old in finished[: max(0, len(finished) - RUNS_KEPT_MAX)]:
            del self._records[old.head.run]
            try:
                self._disk.remove(_name(old))
            except OSError:
                logger.warning("the record of run %s could not be removed", old.head.run)

    def _load(self) -> None:
        records = []
        for name in self._disk.names(FOLDER):
            try:
                document = json.loads(self._disk.read(f"{FOLDER}/{name}") or b"")
                records.append(RunRecord.restore(document))
            except (ValueError, KeyError, TypeError, OSError):
                logger.warning("the run record %s is damaged and was left out", name)
        records.sort(key=lambda record: record.head.started_unix_s)
        self._records = {record.head.run: record for record in records}


def _name(record: RunRecord) -> str:
    return f"{FOLDER}/{record.head.run}.json"
