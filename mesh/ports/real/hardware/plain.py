"""Files and commands as resources: a number is read from text, and written as text."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import attrs

NUMBER = re.compile(rb"-?\d+")
READ_BYTES_MAX = 4096
COMMAND_TIMEOUT_S = 2.0
INT_MIN, INT_MAX = -(2**31), 2**31 - 1


def first_number(text: bytes) -> int | None:
    """The first whole number in a text, at most 32 bits."""
    found = NUMBER.search(text)
    return None if found is None else max(INT_MIN, min(INT_MAX, int(found[0][:12])))


@attrs.frozen
class FileAdapter:
    """A file that holds a number, as those of sysfs do."""

    path: Path

    def read(self) -> int | None:
        try:
            with self.path.open("rb") as file:
                return first_number(file.read(READ_BYTES_MAX))
        except OSError:
            return None

    def write(self, value: int) -> bool:
        try:
            self.path.write_bytes(b"%d\n" % value)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Nothing is held."""


@attrs.frozen
class CommandAdapter:
    """A command that prints a number; a value that is written is its last argument."""

    argv: Sequence[str]

    def read(self) -> int | None:
        done = self._run(self.argv)
        return first_number(done.stdout) if done is not None else None

    def write(self, value: int) -> bool:
        return self._run([*self.argv, str(value)]) is not None

    def close(self) -> None:
        """Nothing is held."""

    def _run(self, argv: Sequence[str]) -> subprocess.CompletedProcess[bytes] | None:
        """None unless it ended well and in time."""
        try:
            return subprocess.run(
                argv,
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=COMMAND_TIMEOUT_S,
            )
        except (OSError, subprocess.SubprocessError):
            return None
