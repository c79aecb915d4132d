"""What the global options say, for the length of one command. A plain class: it loads nothing."""

from __future__ import annotations

import os
import sys


class Settings:
    """`home` is None when neither given nor in the environment."""

    __slots__ = ("color", "debug", "home", "json")

    def __init__(self) -> None:
        self.home: str | None = os.environ.get("VITTE_HOME") or None
        self.json = False
        self.color = "auto"
        self.debug = False

    def colored(self, descriptor: int = 2) -> bool:
        """Whether to colour what goes to this file descriptor (1 or 2)."""
        if self.color != "auto":
            return self.color == "always"
        if os.environ.get("NO_COLOR"):
            return False
        if os.environ.get("FORCE_COLOR"):
            return True
        return os.environ.get("TERM") != "dumb" and os.isatty(descriptor)


def note(text: str) -> None:
    """A remark beside the answer: stderr, so that the answer can be piped."""
    sys.stdout.flush()
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - this is where remarks are printed
