"""Whether build.ninja is up to date with what it was generated from.

The plan is read from build.ninja, so a changed CMakeLists.txt would give a wrong plan. Modification
times are looked at first; when they say "old", ninja itself is asked, because a generator that
found nothing to change leaves the file as it is and only ninja's log knows.

Deliberately not here: running the generator. It may ask questions, download or fail, and that is
between it and its user.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping

from mesh.errors import StaleBuildFiles
from mesh.limits import PROBE_TIMEOUT_S
from mesh.planners.environment import find_program
from mesh.planners.ninja.evaluate import Edge
from mesh.planners.ninja.graph import Graph

_NOTHING_TO_DO = b"no work to do"
NINJA_NAMES = ("ninja", "ninja-build", "samu")


def check_fresh(graph: Graph, make_program: str, env: Mapping[str, str]) -> None:
    """Raises StaleBuildFiles when the generator has to be run first."""
    manifest = graph.manifest
    edge = manifest.producers.get(manifest.path.name)
    if edge is None or edge.is_phony:
        return
    graph.needed([manifest.path.name])  # refuses circles, which the questions below would follow
    newer = _newer_input(graph, edge)
    if newer is None or _ninja_says_fresh(graph, make_program, env):
        return
    build = str(manifest.directory)
    command = f"ninja -C {build} {manifest.path.name}"
    raise StaleBuildFiles(build=manifest.path, newer=newer, command=command)


def find_ninja(make_program: str, env: Mapping[str, str]) -> str | None:
    """The ninja of this build: the one it was configured for, else the one on PATH."""
    path = env.get("PATH", "")
    for name in (make_program, *NINJA_NAMES):
        found = find_program(name, path) if name else None
        if found is not None:
            return found
    return None


def _newer_input(graph: Graph, edge: Edge) -> str | None:
    directory = graph.manifest.directory
    made = graph.manifest.path.stat().st_mtime_ns
    for path in graph.files_of(edge).hard:
        try:
            if (directory / path).stat().st_mtime_ns > made:
                return os.path.normpath(directory / path)
        except OSError:
            continue
    return None


def _ninja_says_fresh(graph: Graph, make_program: str, env: Mapping[str, str]) -> bool:
    ninja = find_ninja(make_program, env)
    if ninja is None:
        return False
    manifest = graph.manifest
    name = manifest.path.name
    try:
        done = subprocess.run(
            [ninja, "-C", manifest.directory, "-f", name, "-n", name],
            env=dict(env),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and _NOTHING_TO_DO in done.stdout
