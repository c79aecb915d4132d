"""Running the programs that this world is made with: `ip`, `mount`, `nft`, ...

Every call is bounded, captures what was said, and raises ChaosFailed with it.
"""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Sequence
from pathlib import Path

from mesh.errors import ChaosFailed

COMMAND_TIMEOUT_S = 30.0
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


def run(*argv: str | Path, stdin: str = "") -> str:
    """Its stdout. Raises ChaosFailed."""
    words = [str(each) for each in argv]
    try:
        done = subprocess.run(
            words,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ChaosFailed(what=" ".join(words), why=str(error)) from None
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise ChaosFailed(what=" ".join(words), why=said or f"status {done.returncode}")
    return done.stdout


def attempt(*argv: str | Path) -> bool:
    """Run it, and say only whether it worked: for clearing up."""
    try:
        run(*argv)
    except ChaosFailed:
        return False
    return True


def batch(lines: Sequence[str], *options: str) -> None:
    """`ip -batch`: many commands in one process. Raises ChaosFailed."""
    run("ip", *options, "-batch", "-", stdin="\n".join(lines) + "\n")


def die_with_parent(number: int) -> None:
    """Get this signal when the thread that made this process is gone, whatever the way. Linux."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, number)
