"""Which directories outside the system's an action must be able to read to use its tools.

A compiler in a home directory or a virtual environment needs its neighbours (libraries, headers),
so its directory is shown to the action, read-only; for `PREFIX/bin/tool` with a `PREFIX/lib` that
is the prefix.

Rules
- A stolen action may only have directories shown that this machine's owner uses for tools: those on
  the node's PATH, below the interpreter's own prefix, or configured. Otherwise a peer could name a
  well-known file next to somebody's keys and have the whole directory shown.
- A home directory itself is never shown.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from mesh.action.model import Toolchain, inside

SYSTEM_DIRS = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/opt",
    "/nix",
    "/etc",
)


def owners_roots(configured: Iterable[str] = ()) -> tuple[str, ...]:
    """Directories whose tools stolen actions may use: real paths, longest first."""
    path = os.environ.get("PATH", "").split(os.pathsep)
    candidates = [*configured, sys.prefix, *[entry for entry in path if entry.startswith("/")]]
    roots = {_shown(os.path.realpath(entry) + "/x") for entry in candidates}
    return tuple(sorted((root for root in roots if root), key=len, reverse=True))


def tool_dirs(toolchain: Toolchain, roots: tuple[str, ...] | None) -> tuple[str, ...]:
    """Directories to show. `roots` None: our own action, everything its tools need."""
    needed = {
        _shown(tool.path)
        for tool in toolchain.tools
        if not any(inside(tool.path, system) for system in SYSTEM_DIRS)
    }
    allowed = {
        directory
        for directory in needed
        if directory and (roots is None or any(inside(directory, root) for root in roots))
    }
    return tuple(
        sorted(
            directory
            for directory in allowed
            if not any(other != directory and inside(directory, other) for other in allowed)
        )
    )


def hidden_tool(toolchain: Toolchain, shown: tuple[str, ...]) -> str:
    """The first tool that an action could not see although it is there, or ""."""
    visible = (*SYSTEM_DIRS, *shown)
    for tool in toolchain.tools:
        if not any(inside(tool.path, each) for each in visible):
            return tool.path
    return ""


def _shown(tool: str) -> str:
    """The directory that a tool at this path needs, or "" when it must not be shown."""
    directory = Path(tool).parent
    if directory.name == "bin" and (directory.parent / "lib").is_dir():
        directory = directory.parent
    if directory == Path("/") or directory == Path.home():
        return ""
    return str(directory)
