"""The demo's project: real C sources that came with an installed package, and how to build them.

The sources are musl libc's (MIT licence), some 220 files of them, as the `ziglang` package ships
them: that package is the demo's compiler on machines that have none, so nothing more has to be
downloaded. They become a library; a small program of ours (`cli/demo/`) is linked with it and with
nothing else, and works out published answers again, so that a wrong object would show.

Rules
- Everything that is compiled or included lies in the prepared directory: no header and no library
  of the machine is used (`-nostdinc`, `-nostdlib`), so every machine makes the same actions.
- `cc` and `ar` on PATH are used when they are there, else zig. zig is told its target, because by
  default it compiles for the very processor it runs on.

Deliberately not here: running anything; `vitte dist demo` does that.
"""

from __future__ import annotations

import json
import platform
import shutil
from importlib.util import find_spec
from pathlib import Path

from mesh.errors import DemoUnavailable

_FOLDERS = ("math", "complex", "crypt", "regex", "search", "prng")
"""Parts of musl's src/ that are compiled; `internal` and `include` there are headers."""
_HEADER_FOLDERS = ("internal", "include")
_TARGETS = ("x86_64", "aarch64", "riscv64")
_OWN = Path(__file__).parent / "demo"
_ZIG_CACHE = "/tmp/vitte-zig"  # noqa: S108  inside the sandbox, where /tmp is the shard's own

_FLAGS = (
    "-std=c99 -O2 -w -nostdinc -ffreestanding -fno-strict-aliasing -fno-stack-protector"
    " -D_GNU_SOURCE -D_XOPEN_SOURCE=700"
)
_INTERNAL = "-Imusl/arch/{arch} -Imusl/arch/generic -Imusl/src/include -Imusl/src/internal"
_PUBLIC = "-Imusl/arch/{arch} -Imusl/arch/generic"


def prepare(directory: Path) -> Path:
    """Lay out the project in `directory` (made if missing) and return its root.

    Raises DemoUnavailable when the ziglang package is not installed or the processor is unknown.
    """
    arch = platform.machine()
    if arch not in _TARGETS:
        raise DemoUnavailable(why=f"its sources are not known to build on {arch}")
    zig = _zig_home()
    root = directory / "musl-demo"
    _copy_musl(zig / "lib" / "libc", root / "musl", arch)
    shutil.copytree(_OWN, root / "app", dirs_exist_ok=True, copy_function=shutil.copyfile)
    (root / "vitte-dist.toml").write_text(_project_file(arch, _compiler(zig, arch)))
    return root


def _zig_home() -> Path:
    """The installed ziglang package, found without importing it (its import would run zig)."""
    spec = find_spec("ziglang")
    if spec is None or not spec.submodule_search_locations:
        raise DemoUnavailable(why="the package `ziglang`, which brings its sources, is not here")
    return Path(spec.submodule_search_locations[0])


def _copy_musl(libc: Path, musl: Path, arch: str) -> None:
    source = libc / "musl"
    for folder in (*_FOLDERS, *_HEADER_FOLDERS):
        wanted = "*.[ch]" if folder in _FOLDERS else "*.h"
        _copy_files(source / "src" / folder, musl / "src" / folder, wanted)
    _copy_tree(libc / "include" / "generic-musl", musl / "include")
    _copy_tree(libc / "include" / f"{arch}-linux-musl", musl / "include")
    for folder in (arch, "generic"):
        _copy_tree(source / "arch" / folder, musl / "arch" / folder)
    shutil.copyfile(source / "COPYRIGHT", musl / "COPYRIGHT")


def _copy_tree(source: Path, to: Path) -> None:
    # copyfile: what is installed may be read-only, the copy must not be.
    shutil.copytree(source, to, dirs_exist_ok=True, copy_function=shutil.copyfile)


def _copy_files(source: Path, to: Path, pattern: str) -> None:
    """The files of one folder and, for headers, of the folders below it."""
    recursive = pattern == "*.h"
    for path in sorted(source.rglob(pattern) if recursive else source.glob(pattern)):
        target = to / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


class _Toolset:
    """How to compile, archive and link, and what those commands need in their environment."""

    def __init__(self, cc: list[str], ar: list[str], link: list[str], env: dict[str, str]) -> None:
        self.cc = cc
        self.ar = ar
        self.link = link
        self.env = env


def _compiler(zig_home: Path, arch: str) -> _Toolset:
    """The machine's own `cc` and `ar`, or zig, which is both."""
    if shutil.which("cc") and shutil.which("ar"):
        return _Toolset(["cc"], ["ar"], ["cc", "-static", "-nostdlib", "-no-pie"], {})
    zig = str(zig_home / "zig")
    cc = [zig, "cc", "-target", f"{arch}-linux-musl", "-fno-sanitize=undefined"]
    env = {"ZIG_GLOBAL_CACHE_DIR": _ZIG_CACHE, "ZIG_LOCAL_CACHE_DIR": _ZIG_CACHE}
    return _Toolset(cc, [zig, "ar"], [*cc, "-static", "-nostdlib"], env)


def _project_file(arch: str, tools: _Toolset) -> str:
    public = f"{_FLAGS} -Imusl/include {_PUBLIC.format(arch=arch)}".split()
    # musl's own headers come first: src/include/X.h wraps include/X.h.
    internal = f"{_FLAGS} {_INTERNAL.format(arch=arch)} -Imusl/include".split()
    return "\n".join(
        [
            "# Written by `vitte dist demo`. Sources: musl libc, see musl/COPYRIGHT.",
            "",
            "[project]",
            'name = "musl-demo"',
            "",
            _step(
                tools,
                name="compile",
                foreach=[f"musl/src/{folder}/*.c" for folder in _FOLDERS],
                run=[*tools.cc, *internal, "-c", "{in}", "-o", "{out}"],
                out="build/{rel}.o",
                scan="cc",
            ),
            _step(
                tools,
                name="program",
                foreach=["app/*.c"],
                run=[*tools.cc, *public, "-c", "{in}", "-o", "{out}"],
                out="build/{rel}.o",
                scan="cc",
            ),
            _step(
                tools,
                name="library",
                run=[*tools.ar, "rcs", "{out}", "{needs.compile}"],
                needs=["compile"],
                out="build/libmusl-parts.a",
            ),
            _step(
                tools,
                name="link",
                run=[*tools.link, "-o", "{out}", "{needs.program}", "{needs.library}"],
                needs=["program", "library"],
                out="build/demo",
            ),
            "# The program checks the library's answers; a wrong one fails the build.",
            _step(
                tools,
                name="answers",
                run="{needs.link} > {out}",
                needs=["link"],
                out="build/answers.txt",
            ),
        ]
    )


def _step(tools: _Toolset, **values: str | list[str]) -> str:
    # JSON's strings and lists of strings are TOML's as well.
    lines = ["[[step]]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    if tools.env:
        pairs = ", ".join(f"{name} = {json.dumps(value)}" for name, value in tools.env.items())
        lines.append(f"env = {{ {pairs} }}")
    return "\n".join([*lines, ""])
