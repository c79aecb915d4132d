"""The node's log: standard error, kept within a bound when it is the file that `vitte` gave us.

`vitte` opens `HOME/node.log` and makes it our stderr, so that even what the interpreter says before
it dies ends up there. A file that only grows fills the disk of a machine that runs for a year. So
after every record that finds it longer than NODE_LOG_BYTES_MAX it becomes `node.log.1`, in place of
the one before it, and stderr continues in a new file.

Rules: only a regular file that is still called so is touched: a terminal, a pipe, or a service
manager's journal is somebody else's to bound. Whatever goes wrong, the record has been written, and
the old file is written on; a log must not end a node.

Not here: what is logged, and by whom.
"""

from __future__ import annotations

import logging
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from mesh.limits import NODE_LOG_BYTES_MAX

LOG_FILE = "node.log"
OLD_SUFFIX = ".1"
STDOUT, STDERR = 1, 2


class BoundedLog(logging.StreamHandler[TextIO]):
    """Logs to stderr, and moves `path` away when that is where stderr goes and it is too long."""

    def __init__(self, path: Path, bytes_max: int = NODE_LOG_BYTES_MAX) -> None:
        super().__init__(sys.stderr)
        assert bytes_max > 0
        self._path = path
        self._bytes_max = bytes_max

    def emit(self, record: logging.LogRecord) -> None:
        """Called with the handler's lock held, from any thread."""
        super().emit(record)
        with suppress(OSError):
            self._turn_over()

    def _turn_over(self) -> None:
        ours = os.fstat(STDERR)
        if ours.st_size <= self._bytes_max or not stat.S_ISREG(ours.st_mode):
            return
        if not os.path.samestat(ours, self._path.stat()):
            return
        also_stdout = os.path.samestat(ours, os.fstat(STDOUT))
        self._path.replace(self._path.with_name(self._path.name + OLD_SUFFIX))
        new = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.dup2(new, STDERR)
            if also_stdout:
                os.dup2(new, STDOUT)
        finally:
            os.close(new)
