"""The environment of planned commands: small, fixed, and the same for everybody.

A variable that differs between two people is a different action and loses the shared cache, and a
variable that is not in the action leaks in what the cache cannot see. So a step gets exactly:

- `PATH`: those folders of the caller's PATH that hold a program of the plan, in the caller's order,
  then the standard ones. Whatever the caller's PATH has besides them makes no difference.
- `LANG=C.UTF-8`: messages that read the same everywhere.
- what changes the meaning of compilers, when the caller has set it: PASSED.

Version managers (pyenv, rbenv, asdf...) put a folder of *shims* on PATH, scripts that start the
version of the day. A shim's digest says nothing about what will run, so the folder of the real
program takes its place.

Deliberately not here: HOME, USER, TMPDIR; the executor gives every action its own.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from mesh.limits import PROBE_TIMEOUT_S

STANDARD_PATH = ("/usr/local/bin", "/usr/bin", "/bin")
PASSED = (
    "CPATH",
    "C_INCLUDE_PATH",
    "CPLUS_INCLUDE_PATH",
    "LIBRARY_PATH",
    "LD_LIBRARY_PATH",
    "COMPILER_PATH",
    "PKG_CONFIG_PATH",
    "SOURCE_DATE_EPOCH",
)
_SHIMS = "shims"
_MANAGERS = ("pyenv", "rbenv", "nodenv", "goenv", "asdf", "mise")
_INTERPRETERS = ("python3", "python")
"""What scripts start behind our back most often."""
_SHIM_FRESH_S = 10.0
_shim_targets: dict[tuple[str, str, str], tuple[float, str]] = {}


def step_env(
    programs: Iterable[str], caller: Mapping[str, str], extra: Iterable[str] = ()
) -> tuple[tuple[str, str], ...]:
    """The environment of a step that runs `programs`, sorted by name; `extra` names variables of
    the caller that the project asks for (PATH among them means the caller's own)."""
    wanted = {name for name in programs if "/" not in name}
    env = {"LANG": "C.UTF-8"}
    env.update({name: caller[name] for name in (*PASSED, *extra) if name in caller})
    if "PATH" in extra:
        env["PATH"] = _path({*wanted, *_INTERPRETERS}, caller, everything=True)
    else:
        env["PATH"] = _path(wanted, caller, everything=False)
    return tuple(sorted(env.items()))


def find_program(name: str, path: str) -> str | None:
    """The executable file that `name` means, as it would be run (links not followed)."""
    if "/" in name:
        return name if _is_executable(name) else None
    folder = _folder_of(name, path.split(os.pathsep))
    return f"{folder.rstrip('/')}/{name}" if folder is not None else None


def _path(wanted: set[str], caller: Mapping[str, str], *, everything: bool) -> str:
    """The caller's PATH, or the part of it that matters for `wanted`."""
    folders = [each for each in caller.get("PATH", "").split(os.pathsep) if each.startswith("/")]
    homes = {name: _folder_of(name, folders) for name in sorted(wanted)}
    chosen: list[str] = []
    for folder in folders:
        used = [name for name, home in homes.items() if home == folder]
        if os.path.basename(folder.rstrip("/")) == _SHIMS:  # noqa: PTH119
            chosen += [_behind_shim(folder, name, caller) for name in used]
        elif everything or used or folder in STANDARD_PATH:
            chosen.append(folder)
    return os.pathsep.join(dict.fromkeys([*chosen, *STANDARD_PATH]))


def _behind_shim(folder: str, name: str, caller: Mapping[str, str]) -> str:
    """The folder of the program that a shim would start; the shim's own when nobody knows."""
    where = caller.get("PWD", "/")
    key = (folder, name, where)
    known = _shim_targets.get(key)
    if known is None or time.monotonic() - known[0] > _SHIM_FRESH_S:
        known = (time.monotonic(), _ask_manager(folder, name, where, caller))
        _shim_targets[key] = known
    return known[1]


def _ask_manager(folder: str, name: str, where: str, caller: Mapping[str, str]) -> str:
    root = Path(folder).parent
    for manager in _MANAGERS:
        program = find_program(str(root / "bin" / manager), "")
        program = program or find_program(manager, caller.get("PATH", ""))
        if program is None or manager not in f"{root.name} {program}":
            continue
        try:
            done = subprocess.run(
                [program, "which", name],
                cwd=where if os.path.isdir(where) else "/",  # noqa: PTH112
                env=dict(caller),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=PROBE_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        found = os.fsdecode(done.stdout.strip())
        if done.returncode == 0 and _is_executable(found):
            return str(Path(found).parent)
    return folder


def _folder_of(name: str, folders: list[str]) -> str | None:
    for folder in folders:
        if folder and _is_executable(f"{folder.rstrip('/')}/{name}"):
            return folder
    return None


def _is_executable(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)  # noqa: PTH113
