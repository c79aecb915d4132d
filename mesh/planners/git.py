"""What git knows about a project: its top folder and the files that belong to it.

The *visible* files are those git tracks, and those it would add: everything that is not ignored.
They are the project as its author means it, without build products.

Deliberately not here: history, the index's content (we take files as they are on disk).
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from mesh.errors import GitFailed, ToolNotFound, TooManyFiles
from mesh.limits import PROBE_TIMEOUT_S, PROJECT_SEARCH_DEPTH_MAX, TREE_ENTRIES_MAX


def toplevel(directory: Path) -> Path | None:
    """The top folder of the git tree that holds `directory`, or None."""
    here = directory
    for _ in range(PROJECT_SEARCH_DEPTH_MAX):
        if is_repository(here):
            return here
        if here.parent == here:
            return None
        here = here.parent
    return None


def is_repository(directory: Path) -> bool:
    """Whether git would look into `directory`. A source archive of a submodule has a `.git` file
    that points to nothing, and is just a folder."""
    marker = directory / ".git"
    if not marker.is_file():
        return marker.is_dir()
    try:
        target = marker.read_text("utf-8", "surrogateescape").removeprefix("gitdir:").strip()
    except OSError:
        return False
    return (directory / target).is_dir()


def visible_files(root: Path, below: str = "") -> list[str]:
    """Sorted paths, relative to `root` (a git top folder), of the visible files and symbolic
    links, those of submodules included; `below` limits them to a folder.

    Raises ToolNotFound without git, GitFailed, TooManyFiles.
    """
    found: set[str] = set()
    pending = [(root, "")]
    for _ in range(TREE_ENTRIES_MAX):
        if not pending:
            break
        folder, prefix = pending.pop()
        for name in _list(folder, below if not prefix else ""):
            path = folder / name
            if path.is_dir() and not path.is_symlink():
                # A submodule, or a nested repository that git will not look into.
                if is_repository(path):
                    pending.append((path, f"{prefix}{name.rstrip('/')}/"))
            elif os.path.lexists(path):  # a deleted file is still in the index
                found.add(prefix + name)
    if len(found) > TREE_ENTRIES_MAX:
        raise TooManyFiles(what=f"`{root}`", count=len(found), limit=TREE_ENTRIES_MAX)
    return sorted(found)


def _list(folder: Path, below: str) -> list[str]:
    argv = ["git", "-C", str(folder), "ls-files", "-co", "--exclude-standard", "-z"]
    if below:
        argv += ["--", below]
    try:
        done = subprocess.run(
            argv,
            capture_output=True,
            check=False,
            timeout=PROBE_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        raise ToolNotFound(tool="git", how="install git") from None
    except subprocess.TimeoutExpired:
        raise GitFailed(root=folder, why=f"no answer within {PROBE_TIMEOUT_S:g} s") from None
    if done.returncode != 0:
        raise GitFailed(root=folder, why=os.fsdecode(done.stderr).strip())
    return [os.fsdecode(name) for name in done.stdout.split(b"\0") if name]
