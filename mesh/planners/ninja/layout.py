"""Where the build folder and the sources are, and what is mounted.

Commands of CMake and Meson hold absolute paths, so folders are mounted where the commands say they
are (`inside`), from where they really are (`host`, links resolved). Nested ones are one mount.

Which folders: the build folder; the source folder, from CMakeCache.txt or Meson's introspection,
else the top of the git tree; and folders of further files that the graph names, unless they belong
to the system, in which case their files are part of the toolchain.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
from collections.abc import Iterable
from pathlib import Path

import attrs

from mesh.action.model import inside
from mesh.errors import PathEscapes, ProjectFileError
from mesh.limits import MOUNTS_MAX, PROJECT_FILE_BYTES_MAX
from mesh.planners import git
from mesh.planners.base import Mount
from mesh.planners.validate import inside_path

_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin", "/etc", "/opt", "/nix")
_CACHE_LINE = re.compile(r"(?P<key>[^:=#/\s][^:=]*):[A-Z]+=(?P<value>.*)")


@attrs.frozen
class Layout:
    """The folders of one build."""

    build: Path
    """Where the build folder really is."""
    cwd: str
    """Where its commands believe it is."""
    source: Path
    """Where the sources really are."""
    mounts: tuple[Mount, ...]
    make_program: str = ""
    """The ninja that the build was configured for."""

    def inside(self, path: str) -> str | None:
        """The sandbox path of a path of the manifest; None when it lies outside."""
        return inside_path(posixpath.normpath(posixpath.join(self.cwd, path)), self.mounts)


def find_layout(build: Path, files: Iterable[str]) -> Layout:
    """The layout of a build folder whose graph names `files` (relative to it or absolute).

    Raises PathEscapes when files are all over the place, ProjectFileError when the folder was
    configured for another place.
    """
    cache = read_cmake_cache(build)
    source, cwd = _cmake_folders(build, cache) or _meson_folders(build) or _guess(build)
    mounts = _merged([_mount(cwd), _mount(source)])
    extra = _outside(cwd, files, mounts)
    mounts = _merged([*mounts, *map(_mount, extra)])
    if len(mounts) > MOUNTS_MAX:
        raise PathEscapes(path=mounts[-1].inside, root=source)
    program = cache.get("CMAKE_MAKE_PROGRAM", "")
    return Layout(build, cwd, Path(os.path.realpath(source)), tuple(mounts), program)


def read_cmake_cache(build: Path) -> dict[str, str]:
    """The entries of CMakeCache.txt; empty when there is none."""
    path = build / "CMakeCache.txt"
    try:
        if path.stat().st_size > PROJECT_FILE_BYTES_MAX:
            return {}
        text = path.read_text("utf-8", "replace")
    except OSError:
        return {}
    matches = map(_CACHE_LINE.fullmatch, text.splitlines())
    return {match["key"].strip('"'): match["value"] for match in matches if match is not None}


def is_system(path: str) -> bool:
    """Whether a path belongs to the system rather than to anybody's project."""
    return any(inside(path, prefix) for prefix in _SYSTEM)


def _cmake_folders(build: Path, cache: dict[str, str]) -> tuple[str, str] | None:
    source = cache.get("CMAKE_HOME_DIRECTORY")
    cwd = cache.get("CMAKE_CACHEFILE_DIR")
    if not source or not cwd:
        return None
    if os.path.realpath(cwd) != str(build) or not Path(source).is_dir():
        raise ProjectFileError(
            file=build / "CMakeCache.txt",
            line=1,
            problem=f"this folder was configured as `{cwd}` for the sources in `{source}`",
            expected="a folder that is still where it was: run cmake again in a new one",
        )
    return source, cwd


def _meson_folders(build: Path) -> tuple[str, str] | None:
    try:
        info = json.loads((build / "meson-info" / "meson-info.json").read_bytes())
        found = info["directories"]
        source, cwd = found["source"], found["build"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(source, str) or not isinstance(cwd, str):
        return None
    return source, cwd


def _guess(build: Path) -> tuple[str, str]:
    return str(git.toplevel(build) or build), str(build)


def _mount(path: str) -> Mount:
    normal = posixpath.normpath(path)
    return Mount(Path(os.path.realpath(normal)), normal)


def _merged(mounts: list[Mount]) -> list[Mount]:
    """Without those that lie in another."""
    found: list[Mount] = []
    for mount in sorted(mounts, key=lambda mount: len(mount.inside)):
        outer = next((each for each in found if inside(mount.inside, each.inside)), None)
        if outer is None:
            found.append(mount)
        elif outer.host / posixpath.relpath(mount.inside, outer.inside) != mount.host:
            # A linked folder within the project: its files would lie below a link.
            raise PathEscapes(path=mount.inside, root=outer.inside)
    return found


def _outside(cwd: str, files: Iterable[str], mounts: list[Mount]) -> list[str]:
    """Folders of files that lie in no mount and do not belong to the system."""
    found: dict[str, None] = {}
    for name in files:
        path = posixpath.normpath(posixpath.join(cwd, name))
        if inside_path(path, tuple(mounts)) is None and not is_system(path):
            folder = posixpath.dirname(path)
            if folder == "/":
                raise PathEscapes(path=path, root=cwd)
            found[folder] = None
    return list(found)
