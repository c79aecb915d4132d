"""Files that commands write: looked at before the work begins, and kept elsewhere if that fails.

    outputs = Outputs(settings, reads=(source,))
    target = outputs.claim("--output", path)      raises, before anything was done
    outputs.write(target, data)                   where it is now; never raises for the disk
    return outputs.status(1)                      2 when something is not where it should be

Hours of work do not go with a disk that is full at their end: what cannot be written where it
should go is written to the folder of temporary files, and what finds no room there either is
printed if it is a scenario. Deliberately not here: how a file is written (`sim.whole`).
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cli.i18n import t
from cli.settings import Settings
from cli.shell import print_error
from mesh.errors import OutputIsInput, OutputUnwritable
from sim.whole import is_special, real, write_whole

TRIED = f".vitte-{os.getpid()}-tried"
UNWRITTEN = OutputUnwritable.exit_code


class Outputs:
    """What one command writes."""

    def __init__(self, settings: Settings, reads: Iterable[Path] = ()) -> None:
        self.unwritten: list[dict[str, Any]] = []
        """`path`, `why` and `instead` (or None) of everything that is not where it should be."""
        self.settings = settings
        self._taken = list(reads)

    def claim(self, option: str, path: str | Path) -> Path:
        """Look whether it can be written. Raises OutputIsInput, OutputUnwritable."""
        target = Path(path)
        try:
            if any(is_same(target, other) for other in self._taken):
                raise OutputIsInput(option=option, path=target)
            try_file(target)
        except OSError as error:
            raise unwritable(target, error, _name_another(option)) from None
        self._taken.append(target)
        return target

    def claim_folder(self, option: str, path: str | Path) -> Path:
        """The same for a folder of files. Raises OutputUnwritable."""
        target = Path(path)
        try:
            try_folder(target)
        except OSError as error:
            raise unwritable(target, error, _name_another(option)) from None
        return target

    def write(self, path: Path, data: bytes | str) -> Path | None:
        """Where it is now: there, or with the temporary files, or (None) nowhere."""
        try:
            write_whole(path, data)
        except OSError as error:
            instead = keep_elsewhere(path.name, data)
            self.failed(path, error, instead)
            return instead
        return path

    def failed(self, path: Path, error: OSError, instead: Path | None = None) -> None:
        """Say that it could not be written, and go on."""
        hint = t("make room there")
        if instead is not None:
            hint = t("it was written to {instead} instead", instead=instead)
        said = unwritable(path, error, hint)
        print_error(said, self.settings)
        kept = str(instead) if instead is not None else None
        self.unwritten.append({"path": str(path), "why": said.params["why"], "instead": kept})

    def status(self, status: int) -> int:
        """That of the command, or 2 when something could not be written."""
        return UNWRITTEN if self.unwritten else status

    def view(self) -> dict[str, Any]:
        """For `--json`: nothing when all went well."""
        return {"unwritten": self.unwritten} if self.unwritten else {}


def _name_another(option: str) -> str:
    return t("nothing was done yet: name another place with `{option}`", option=option)


def unwritable(path: Path, error: OSError, hint: str) -> OutputUnwritable:
    why = error.strerror or str(error)
    if error.filename is not None and Path(os.fsdecode(error.filename)) != path:
        why = f"{os.fsdecode(error.filename)}: {why}"
    return OutputUnwritable(path=path, why=why, hint=hint)


def unanswered(error: OSError) -> OutputUnwritable:
    """For an answer that found no room."""
    hint = t("make room there, or send the answer elsewhere")
    return OutputUnwritable(path="stdout", why=error.strerror or str(error), hint=hint)


def takes_no_answer() -> bool:
    """Whether stdout refuses what it is given."""
    try:
        sys.stdout.write("\n")
        sys.stdout.flush()
    except OSError:
        return True
    return False


def is_same(one: Path, other: Path) -> bool:
    """Whether writing the one would write the other; devices take any number of writers."""
    if is_special(one):
        return False
    with contextlib.suppress(OSError):  # one is not there yet: their names decide
        return one.samefile(other)
    return real(one) == real(other)


def try_file(path: Path) -> None:
    """Raises OSError when it cannot be written. Changes nothing."""
    if is_special(path):
        _try_special(path)
    elif path.is_dir():
        raise IsADirectoryError(0, t("it is a folder"))
    elif path.exists():
        with path.open("ab"):
            pass
    else:
        try_folder(real(path).parent, real(path).name)


def _try_special(path: Path) -> None:
    if path.is_fifo():  # opening it would wait for its reader
        if not os.access(path, os.W_OK):
            raise PermissionError(0, t("it is not writable"))
        return
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, b"")  # enough for /dev/full to say what it is
    finally:
        os.close(descriptor)


def try_folder(path: Path, name: str = TRIED) -> None:
    """Raises OSError when a file of that name cannot be made in it. Changes nothing: what it made
    is removed."""
    made: list[Path] = []
    try:
        for folder in [*reversed(path.parents), path]:
            if not folder.exists():
                folder.mkdir()
                made.append(folder)
            elif not folder.is_dir():
                raise NotADirectoryError(0, t("it is no folder"), str(folder))
        with (path / name).open("xb"):
            (path / name).unlink()
    finally:
        for folder in reversed(made):
            with contextlib.suppress(OSError):  # somebody else has begun to use it
                folder.rmdir()


def keep_elsewhere(name: str, data: bytes | str) -> Path | None:
    """Write it to the folder of temporary files; None when that fails, too."""
    try:
        path = Path(tempfile.mkdtemp(prefix="vitte-sim-")) / name
        write_whole(path, data)
    except OSError:
        return None
    return path
