"""The entry point of `vitte`: as little as possible before the answer.

What prompts, scripts and people call all day has a short way that does not load click
(`cli.short`); `bench/startup.py` says what that costs beside `python -c pass`.
"""

from __future__ import annotations

import os
import sys

from cli import i18n
from cli.short import short_way


def main(argv: list[str] | None = None) -> int:
    """Run one command line; return its exit status."""
    args = sys.argv[1:] if argv is None else list(argv)
    i18n.activate(i18n.choose(args, os.environ))
    short = short_way(args, os.environ)
    command = short.command() if short is not None else None
    try:
        if short is None or command is None:
            from cli.app import run

            code = run(args)
        else:
            from cli.shell import guarded

            code = guarded(command, short.settings)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has enough: say no more, not even at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    except KeyboardInterrupt:  # so early that no command was there to handle it
        code = 130
    return code


if __name__ == "__main__":
    sys.exit(main())
