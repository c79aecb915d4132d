"""The environment of planned commands: small, fixed, and the same for everybody.

A variable that differs between two people is a different action and loses the shared cache, and a
variable that is not in the action leaks in what the cache cannot see. So a step gets exactly:

- `PATH`: those folders of the caller's PATH that hold a program of the plan, in the caller's order,
  then the standard ones. Whatever the caller's PATH has besides them makes no difference.
- `LANG=C.UTF-8`: messages that read the same everywhere.
- what changes the meaning of compilers, when the caller has set it: PASSED.

Deliberately not here: HOME, USER, TMPDIR; the executor gives every action its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

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


def step_env(
    programs: Iterable[str], caller: Mapping[str, str], extra: Iterable[str] = ()
) -> tuple[tuple[str, str], ...]:
    """The environment of a step that runs `programs`, sorted by name; `extra` names variables of
    the caller that the project asks for (PATH among them means the caller's own)."""
    env = {"LANG": "C.UTF-8", "PATH": fixed_path(programs, caller.get("PATH", ""))}
    env.update({name: caller[name] for name in (*PASSED, *extra) if name in caller})
    return tuple(sorted(env.items()))


def fixed_path(programs: Iterable[str], caller_path: str) -> str:
    """The part of the caller's PATH that matters for `programs`."""
    folders = [folder for folder in caller_path.split(os.pathsep) if folder.startswith("/")]
    wanted = {name for name in programs if "/" not in name}
    kept = {_folder_of(name, folders) for name in wanted}
    chosen = [folder for folder in folders if folder in kept or folder in STANDARD_PATH]
    return os.pathsep.join(dict.fromkeys([*chosen, *STANDARD_PATH]))


def find_program(name: str, path: str) -> str | None:
    """The executable file that `name` means, as it would be run (links not followed)."""
    if "/" in name:
        return name if _is_executable(name) else None
    folder = _folder_of(name, path.split(os.pathsep))
    return f"{folder.rstrip('/')}/{name}" if folder is not None else None


def _folder_of(name: str, folders: list[str]) -> str | None:
    for folder in folders:
        if folder and _is_executable(f"{folder.rstrip('/')}/{name}"):
            return folder
    return None


def _is_executable(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)  # noqa: PTH113
