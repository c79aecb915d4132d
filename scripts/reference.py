"""Write docs/reference/: the commands with their options, and every error. From the project's root:

    python scripts/reference.py          write the pages
    python scripts/reference.py check    exit 1 when they are not what would be written

The pages are made from click's command tree and from `mesh.errors`, so they say what the program
says; a test runs `check`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import click  # noqa: E402 - the project's root must be on the path first

from cli import i18n  # noqa: E402

i18n.activate("en")

from cli.app import root  # noqa: E402 - help texts are made at import, in the active language
from mesh.control.ops import OPS, REQUIRED, STREAMING_OPS  # noqa: E402
from mesh.errors import catalogue  # noqa: E402

PAGES = ROOT / "docs" / "reference"
GENERATED = "<!-- Written by scripts/reference.py; edit the source instead. -->\n"

EXIT_STATUSES = [
    (0, "done"),
    (1, "something failed: a shard, a check, an environment"),
    (2, "the command line or a project file is wrong"),
    (3, "tests failed (`run test`)"),
    (4, "no tests were found (`run test`)"),
    (10, "no node, or none could be reached"),
    (11, "identity: an invitation, a code or a role was refused"),
    (12, "no node fits"),
    (13, "out of time"),
    (70, "a bug in vitte-mesh"),
    (130, "interrupted (Ctrl-C)"),
]
CLI_INTRODUCTION = """\
Answers go to stdout, everything else to stderr. `--json` prints objects that name their schema;
`--home` and `--json` work before and after a subcommand.
"""
CONTROL_INTRODUCTION = """\
`HOME/control.sock` takes one JSON object on one line, `{"op": ...}` with parameters, and answers
with one line: `{"ok": view}` or `{"error": ...}`. Streaming operations send `{"event": ...}` lines
before it, and end when the client closes or half-closes its connection. Views are in
`mesh/control/views.py`, events in `mesh/control/events.py`.
"""
BLAME = {
    "user": "the command or a project file",
    "peer": "another node",
    "environment": "this machine",
    "us": "vitte-mesh itself",
}


def commands(
    command: click.Command, path: str, parent: click.Context | None
) -> Iterator[tuple[str, click.Context]]:
    """Every command of the tree with its context, depth first."""
    ctx = click.Context(command, parent, path.rsplit(" ", 1)[-1], max_content_width=100)
    ctx.terminal_width = 96
    yield path, ctx
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            child = command.get_command(ctx, name)
            assert child is not None
            yield from commands(child, f"{path} {name}", ctx)


def cli_page() -> str:
    """The page of commands and exit statuses."""
    parts = [GENERATED, "# Commands\n", CLI_INTRODUCTION]
    for path, ctx in commands(root, "vitte", None):
        level = "##" if path.count(" ") < 2 else "###"
        parts.append(f"{level} `{path}`\n\n```text\n{ctx.get_help()}\n```\n")
    parts.append("## Exit statuses\n\n| status | meaning |\n|---|---|")
    parts += [f"| {code} | {meaning} |" for code, meaning in EXIT_STATUSES]
    parts.append("\n`vitte dist run -- CMD` exits with the status of CMD.\n")
    return "\n".join(parts)


def errors_page() -> str:
    """The page of errors, by code."""
    rows = [
        f"| {cls.code} | {_cell(cls.template())} | {_cell(cls.hint)} | {cls.exit_code} |"
        f" {BLAME[cls.blame]} |"
        for cls in catalogue()
    ]
    head = [
        GENERATED,
        "# Errors\n",
        "`vitte explain VM204` says the same. Parts in braces are filled in.\n",
        "| code | message | hint | exit | who is to blame |\n|---|---|---|---|---|",
    ]
    return "\n".join([*head, *rows]) + "\n"


def control_page() -> str:
    """The page of the control socket's operations."""
    parts = [
        GENERATED,
        "# The control socket\n",
        CONTROL_INTRODUCTION,
        "| operation | streams | parameters |\n|---|---|---|",
    ]
    for op, spec in OPS.items():
        fields = ", ".join(_parameter(name, *how) for name, how in spec.items()) or "none"
        parts.append(f"| `{op}` | {'yes' if op in STREAMING_OPS else ''} | {fields} |")
    return "\n".join(parts) + "\n"


def _parameter(name: str, kind: str, default: object) -> str:
    if default is REQUIRED:
        return f"`{name}` ({kind}, required)"
    return f"`{name}` ({kind})" if default is None else f"`{name}` ({kind}, `{default}`)"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main(command: str) -> int:
    pages = {"cli.md": cli_page(), "errors.md": errors_page(), "control.md": control_page()}
    stale = 0
    for name, text in pages.items():
        path = PAGES / name
        if command == "check":
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                print(f"docs/reference/{name} is out of date: run scripts/reference.py")
                stale += 1
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return 1 if stale else 0


if __name__ == "__main__":
    if sys.argv[1:] not in ([], ["check"]):
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1] if sys.argv[1:] else "write"))
