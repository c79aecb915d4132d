"""What the first build asks of the machine itself, asked while nobody waits for it.

    get_ready(toolchains, includes, env)

The planners are loaded, the C compiler's programs are hashed (tens of megabytes), and it is asked
where it looks for programs and headers. Blocking: for a worker thread. Nothing depends on it:
whatever it could not find out is found out, or reported, when a step needs it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from mesh.errors import MeshError
from mesh.planners import cc
from mesh.planners.base import Step
from mesh.planners.environment import find_program, step_env
from mesh.planners.registry import load_planners
from mesh.planners.systemheaders import IncludeMemory
from mesh.planners.toolchain import Toolchains

DRIVER = "cc"
"""What CMake, Meson and make use unless they are told otherwise. C++ has another program of the
same size, which every node of a C project would read for nothing."""


def get_ready(toolchains: Toolchains, includes: IncludeMemory, env: Mapping[str, str]) -> None:
    """Never raises for anything that is missing or broken on the machine."""
    with contextlib.suppress(MeshError):
        load_planners()
    program = find_program(DRIVER, env.get("PATH", ""))
    if program is not None:
        with contextlib.suppress(MeshError, OSError):
            _ask(program, toolchains, includes, env)


def _ask(
    program: str, toolchains: Toolchains, includes: IncludeMemory, env: Mapping[str, str]
) -> None:
    for command in (f"{program} -c a.c -o a.o", f"{program} a.o -o a"):
        argv = ("/bin/sh", "-c", command)  # as build files have them run
        step = Step(name="", argv=argv, cwd="/", env=step_env((), env))
        tools = toolchains.of_step(step, ())
        call = cc.parse(argv)
        if call is not None and call.compiles:
            includes.paths.of(step, call, tools)
