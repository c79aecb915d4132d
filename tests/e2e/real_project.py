"""A real C project for the end-to-end tests and the benchmarks: zlib-ng, from a package registry.

The source distribution of the Python package `zlib-ng` bundles the C library with its own
CMakeLists.txt: some sixty translation units, configured headers, a static library and eight
programs. pip downloads it (with whatever index pip is configured for); its digest is
pinned here; it is kept in the user's cache directory.

Deliberately not here: building it. `configure` only runs CMake.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

PACKAGE = "zlib-ng"
VERSION = "1.1.0"
SHA256 = "08a3a8468d4f130e3dc80d28ec42fcc7a878a57dfed616233e791066327d78a3"
_ARCHIVE = f"zlib_ng-{VERSION}.tar.gz"
_INSIDE = PurePosixPath(f"zlib_ng-{VERSION}/src/zlib_ng/zlib-ng")
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vitte-mesh-tests"
_DOWNLOAD_TIMEOUT_S = 300.0
_UNPACKED_BYTES_MAX = 256 * 1024 * 1024

CMAKE_OPTIONS = ("-DBUILD_SHARED_LIBS=OFF", "-DWITH_GTEST=OFF", "-DWITH_BENCHMARKS=OFF")
"""60 compilations and 9 links: about 18 s of processor time in Release, 11 s in Debug."""


class Unavailable(Exception):
    """The project or a tool it needs cannot be had here; the text says why."""


def fetch(directory: Path) -> Path:
    """Unpack a fresh copy below `directory`; return the folder that holds CMakeLists.txt.

    Raises Unavailable when it is neither cached nor downloadable.
    """
    archive = _CACHE / _ARCHIVE
    if not archive.is_file() or _digest(archive) != SHA256:
        _download(archive)
    return _unpack(archive, directory / "zlib-ng")


def configure(
    source: Path,
    build: Path,
    *,
    generator: str = "Ninja",
    build_type: str = "Release",
    options: tuple[str, ...] = (),
) -> Path:
    """Run CMake; return `build`. Raises Unavailable when a tool is missing."""
    command = [tool("cmake"), "-G", generator, "-S", str(source), "-B", str(build)]
    command.append(f"-DCMAKE_BUILD_TYPE={build_type}")
    if generator == "Ninja":
        command.append(f"-DCMAKE_MAKE_PROGRAM={tool('ninja')}")
    tool("cc")
    subprocess.run(
        [*command, *CMAKE_OPTIONS, *options],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=300,
    )
    return build


def tool(name: str) -> str:
    """A program of the system, else the one installed beside this Python."""
    path = shutil.which(name) or shutil.which(name, path=str(Path(sys.executable).parent))
    if path is None:
        raise Unavailable(f"`{name}` is not installed")
    return path


def _download(archive: Path) -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=archive.parent) as directory:
        for pip in _pips():
            said = _try_pip(pip, directory)
            found = Path(directory) / _ARCHIVE
            if found.is_file():
                break
        else:
            raise Unavailable(f"pip could not download {PACKAGE} {VERSION}: {said[-500:]}")
        if _digest(found) != SHA256:
            raise Unavailable(f"{_ARCHIVE} is not what it was: {_digest(found)}")
        found.replace(archive)


def _pips() -> list[list[str]]:
    """Ways to call pip: this Python's, else any on PATH (an environment made by uv has none)."""
    others = [path for name in ("python3", "python") if (path := shutil.which(name))]
    return [[python, "-m", "pip"] for python in (sys.executable, *others)]


def _try_pip(pip: list[str], directory: str) -> str:
    options = ["--quiet", "--no-input", "--no-deps", "--no-binary", PACKAGE, "--dest", directory]
    result = subprocess.run(
        [*pip, "download", *options, f"{PACKAGE}=={VERSION}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_DOWNLOAD_TIMEOUT_S,
    )
    return result.stderr


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _unpack(archive: Path, to: Path) -> Path:
    """The C library's files only: plain files below `_INSIDE`, nothing that could lead outside."""
    left = _UNPACKED_BYTES_MAX
    with tarfile.open(archive) as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            if not member.isfile() or ".." in path.parts or not path.is_relative_to(_INSIDE):
                continue
            left -= member.size
            if left < 0:
                raise Unavailable(f"{archive} is too large")
            content = tar.extractfile(member)
            assert content is not None
            target = to.joinpath(*path.relative_to(_INSIDE).parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.read())
            target.chmod(0o755 if member.mode & 0o100 else 0o644)
    if not (to / "CMakeLists.txt").is_file():
        raise Unavailable(f"{archive} holds no CMakeLists.txt")
    return to
