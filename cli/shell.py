"""The rim of every command: errors become `error[VM204]: ...` with a hint and an exit status.

A MeshError says what to print and how to exit. Anything else is a bug of ours: one line, and the
traceback with `--debug`. With `--json` the error is an object on stdout, schema `vitte.error/1`.
"""

from __future__ import annotations

import sys

from cli.i18n import n, t
from cli.settings import Settings, note
from cli.text import table, width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mesh.errors import MeshError

EXIT_INTERRUPTED = 130


def guarded(command: Callable[[Settings], int | None], settings: Settings) -> int:
    """Run a command; return its exit status, whatever happened."""
    try:
        return command(settings) or 0
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - the rim: nothing may leave as a traceback
        return report(error, settings)


def report(error: Exception, settings: Settings) -> int:
    """Print an error; return its exit status."""
    from mesh.errors import Bug, MeshError

    if settings.debug:
        import traceback

        traceback.print_exception(error)
    if not isinstance(error, MeshError):
        error = Bug(what=f"{type(error).__name__}: {error}")
    if settings.json:
        from cli.text import print_json

        print_json({"schema": "vitte.error/1", "error": describe(error)})
    else:
        print_error(error, settings)
    return error.exit_code


def describe(error: MeshError) -> dict[str, object]:
    """An ErrorView of a MeshError raised on this side of the socket."""
    return {
        "code": error.code,
        "params": {name: str(value) for name, value in error.params.items()},
        "message": error.message(),
        "hint": error.next_step(),
        "exit_code": error.exit_code,
        "blame": error.blame,
    }


def print_error(error: MeshError, settings: Settings) -> None:
    """`error[CODE]: message` and `hint: next step`, translated, on stderr."""
    colored = settings.colored()
    label = _paint(f"error[{error.code}]:", "1;31", colored)
    note(f"{label} {_harmless(t(error.template()).format(**error.params))}")
    hint = t(error.hint).format(**error.params) if error.hint else ""
    if hint:
        note(f"{_paint(t('hint:'), '1;36', colored)} {_harmless(hint)}")


def _harmless(text: str) -> str:
    """Parameters may come from a peer or a file: only line breaks of them may steer a terminal."""
    from cli.text import printable

    return "\n".join(printable(line) for line in text.split("\n"))


def usage_error(message: str, usage: str, settings: Settings) -> int:
    """A command line that click does not understand: exit status 2."""
    if usage:
        note(usage)
    note(f"{_paint(t('error:'), '1;31', settings.colored())} {message}")
    return 2


def _paint(text: str, style: str, colored: bool) -> str:
    return f"\033[{style}m{text}\033[0m" if colored else text


def out(text: str = "") -> None:
    """One line of the answer."""
    sys.stdout.write(text + "\n")


def out_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows of the answer under their heads; nothing when there are none."""
    for line in table(header, rows, width()) if rows else ():
        out(line)


def out_list(header: Sequence[str], rows: Sequence[Sequence[str]], total: int) -> None:
    """A table, and how many there are beyond it."""
    out_table(header, rows)
    more = total - len(rows)
    if more > 0:
        note(n("{count} more", "{count} more", more))
    elif not rows:
        note(t("there are none"))
