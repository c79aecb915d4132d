"""The entry point of `vitte`: as little as possible before the answer.

`vitte dist status` is what prompts, scripts and people call all day, so it has a short way that
does not load click: 3 times the cost of `python -c pass` instead of 5 (`bench/startup.py`). The
short way takes exactly the argument lists below and calls the same function as the command does;
everything else, `--help` included, goes through click (`cli.app`).
"""

from __future__ import annotations

import os
import sys

from cli import i18n
from cli.settings import Settings


def main(argv: list[str] | None = None) -> int:
    """Run one command line; return its exit status."""
    args = sys.argv[1:] if argv is None else list(argv)
    i18n.activate(i18n.choose(args, os.environ))
    settings = _plain_status(args)
    try:
        if settings is None:
            from cli.app import run

            code = run(args)
        else:
            from cli.shell import guarded

            code = guarded(_status, settings)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has enough: say no more, not even at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    except KeyboardInterrupt:  # so early that no command was there to handle it
        code = 130
    return code


def _status(settings: Settings) -> int:
    from cli.status import show

    return show(settings)


def _plain_status(args: list[str]) -> Settings | None:
    """Settings when `args` is `dist status` or `mesh status` with nothing but --json and --home."""
    if "status" not in args or "_VITTE_COMPLETE" in os.environ:
        return None
    settings, words, rest = Settings(), [], iter(args)
    for word in rest:
        if word == "--json":
            settings.json = True
        elif word == "--home":
            settings.home = next(rest, None)
            if settings.home is None:
                return None
        else:
            words.append(word)
    return settings if words in (["dist", "status"], ["mesh", "status"]) else None


if __name__ == "__main__":
    sys.exit(main())
