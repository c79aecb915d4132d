"""The files a project consists of, and patterns over them.

Patterns: `*` and `?` match within one name, `[ab]` a character, `**` any number of folders. A
pattern is matched against the path relative to the project's root, with `/`.

Which files there are: in a git tree those git tracks or would add (ignored ones are build products
or private); elsewhere everything but names that start with a dot. Deliberately not here: case
folding, brace alternatives (braces are ours, for templates).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from mesh.errors import TooManyFiles
from mesh.limits import TREE_ENTRIES_MAX
from mesh.planners import git


def is_pattern(text: str) -> bool:
    return any(char in text for char in "*?[")


def project_files(root: Path) -> tuple[str, ...]:
    """Sorted paths relative to `root` of the project's files. Raises TooManyFiles."""
    top = git.toplevel(root)
    if top is None:
        return walk_files(root)
    if top == root:
        return tuple(git.visible_files(root))
    prefix = root.relative_to(top).as_posix() + "/"
    files = git.visible_files(top, prefix)
    return tuple(name[len(prefix) :] for name in files if name.startswith(prefix))


def walk_files(root: Path) -> tuple[str, ...]:
    """All files and links below `root`, except those whose path has a name that starts with a
    dot."""
    found: list[str] = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        base = os.path.relpath(folder, root)
        found += [
            name if base == "." else f"{base}/{name}" for name in names if not name.startswith(".")
        ]
        links = [name for name in folders if os.path.islink(os.path.join(folder, name))]  # noqa: PTH114, PTH118
        found += [name if base == "." else f"{base}/{name}" for name in links]
        if len(found) > TREE_ENTRIES_MAX:
            raise TooManyFiles(what=f"`{root}`", count=len(found), limit=TREE_ENTRIES_MAX)
    return tuple(sorted(found))


def select(pattern: str, files: Iterable[str]) -> list[str]:
    """The files that match, in their order."""
    matcher = _compiled(pattern)
    return [name for name in files if matcher.fullmatch(name)]


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(_translate(pattern), re.DOTALL)


def _translate(pattern: str) -> str:
    out: list[str] = []
    position = 0
    while position < len(pattern):
        piece, width = _piece(pattern, position)
        out.append(piece)
        position += width
    return "".join(out)


def _piece(pattern: str, position: int) -> tuple[str, int]:
    """The regular expression of the piece at `position`, and its width in the pattern."""
    rest = pattern[position:]
    at_name = position == 0 or pattern[position - 1] == "/"
    if at_name and rest.startswith("**/"):
        return "(?:[^/]+/)*", 3
    if at_name and rest == "**":
        return ".+", 2
    if rest[0] == "[" and rest.find("]", 2) > 0:
        return _class(rest[: rest.find("]", 2) + 1])
    return {"*": "[^/]*", "?": "[^/]"}.get(rest[0], re.escape(rest[0])), 1


def _class(text: str) -> tuple[str, int]:
    """A bracket expression; one that means nothing stands for itself."""
    body = text[1:-1].replace("\\", "\\\\").replace("[", "\\[")
    for doubled in ("&&", "||", "~~", "--"):  # reserved by `re` for operations on sets
        body = body.replace(doubled, f"{doubled[0]}\\{doubled[0]}")
    if body[0] in "!^":
        body = "^/" + body[1:]
    try:
        re.compile(f"[{body}]")
    except re.error:
        return re.escape(text), len(text)
    return f"[{body}]", len(text)
