"""A peer killed, and a peer frozen, in the middle of compiling a real project.

The signal falls when the run's own events say that this peer is compiling right now. What is
checked is what the user has in the end: every object, archive and program is the local build's,
byte by byte, and ninja finds nothing left to do.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import attrs
import pytest
import real_project
from cluster import Cluster, eventually

from cli.client import ask
from cli.sentences import recognise

BUILD_TIMEOUT_S = 300.0
VICTIM = 2
VICTIM_NAME = f"node-{VICTIM}"
DONE_BEFORE = 8
"""Steps that must have ended before the signal: the build is well under way, and far from over."""
BUILT_MAGICS = (b"\x7fELF", b"!<arch>\n")


@attrs.frozen
class Project:
    """A configured build directory, clean, and what a local build made in it."""

    build: Path
    configured: dict[str, str]
    """Path below `build` -> SHA-256 of what CMake itself compiled to learn about the compiler."""
    local: dict[str, str]
    """The same of every object, archive, library and program after the local build."""


@pytest.fixture(scope="module")
def project(real_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    source = tmp_path_factory.mktemp("faults") / "zlib-ng"
    shutil.copytree(real_source, source)
    try:
        build = real_project.configure(source, source / "build", build_type="Debug")
    except real_project.Unavailable as error:
        pytest.skip(f"the real project cannot be configured: {error}")
    configured = built(build)
    ninja(build)
    local = built(build)
    assert len(local) >= 60 + len(configured)
    return Project(build, configured, local)


@pytest.fixture
def clean(project: Project) -> Project:
    ninja(project.build, "-t", "clean")
    assert built(project.build) == project.configured
    return project


def ninja(build: Path, *arguments: str) -> str:
    done = subprocess.run(
        [real_project.tool("ninja"), *arguments],
        cwd=build,
        check=True,
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
    )
    return done.stdout


def built(build: Path) -> dict[str, str]:
    """Digests of everything that a compiler, archiver or linker made."""
    found = {}
    for path in sorted(build.rglob("*")):
        if path.is_file() and (content := path.read_bytes()).startswith(BUILT_MAGICS):
            found[str(path.relative_to(build))] = sha256(content).hexdigest()
    return found


def run_and_strike(cluster: Cluster, build: Path, strike: Callable[[], None]) -> dict[str, Any]:
    """Build; call `strike` once the victim is seen compiling amid the build; the run's view."""
    run = cluster.start_command("--json", "dist", "run", "build", cwd=build)
    assert run.stdout is not None
    assert run.stderr is not None
    phases: dict[int, tuple[str, str]] = {}
    struck = False
    watchdog = threading.Timer(BUILD_TIMEOUT_S, run.kill)
    watchdog.start()
    try:
        with run.stdout, run.stderr:
            for line in run.stdout:
                last = json.loads(line)
                if last.get("event") == "shards":
                    phases |= {index: (phase, where) for index, phase, where, *_ in last["items"]}
                if not struck and amid(phases):
                    strike()
                    struck = True
            said = run.stderr.read()
    finally:
        watchdog.cancel()
        code = run.wait()
    assert struck, f"{VICTIM_NAME} never compiled in the middle of the build: {phases}"
    assert code == 0, said
    assert last["schema"] == "vitte.run/1"
    return dict(last)


def amid(phases: dict[int, tuple[str, str]]) -> bool:
    done = sum(phase == "done" for phase, _ in phases.values())
    return done >= DONE_BEFORE and ("running", VICTIM_NAME) in phases.values()


def taken_over(cluster: Cluster, run: str) -> list[str]:
    """Steps that the victim had begun and another node finished."""
    home = str(cluster.home(1))
    names = []
    for brief in ask(home, "explain", run=run)["shards"]:
        (shard,) = ask(home, "explain", run=run, shard=str(brief["index"]))["shards"]
        assert unknown_sentences(shard) == []
        begun = any(each["where"] == VICTIM_NAME for each in shard["timeline"])
        if begun and shard["where"] != VICTIM_NAME:
            names.append(shard["name"])
    return names


def unknown_sentences(shard: dict[str, Any]) -> list[str]:
    """What is said of a shard that no translation would know."""
    said = [shard["why"], *(each["reason"] for each in shard["nodes"])]
    said += [each["detail"] for each in shard["timeline"] if each["phase"] != "done"]
    return [each for each in said if each and not each.endswith(" MB") and recognise(each) is None]


def check_is_the_local_build(project: Project) -> None:
    assert built(project.build) == project.local
    assert "no work to do" in ninja(project.build, "-n")


def test_a_peer_killed_amid_a_real_build_leaves_no_trace_in_it(
    own_cluster: Cluster, clean: Project
) -> None:
    view = run_and_strike(
        own_cluster, clean.build, lambda: own_cluster.signal(VICTIM, signal.SIGKILL)
    )
    assert view["failed"] == 0
    assert taken_over(own_cluster, view["run"])
    check_is_the_local_build(clean)


def test_a_peer_frozen_amid_a_real_build_does_no_harm_when_it_wakes(
    own_cluster: Cluster, clean: Project
) -> None:
    view = run_and_strike(own_cluster, clean.build, lambda: own_cluster.freeze(VICTIM))
    assert view["failed"] == 0
    assert taken_over(own_cluster, view["run"])
    check_is_the_local_build(clean)

    own_cluster.thaw(VICTIM)
    eventually(lambda: welcome_and_idle(own_cluster), "the thawed node to be alive and idle")
    check_is_the_local_build(clean)
    ninja(clean.build, "-t", "clean")
    for number in (1, VICTIM):
        again = own_cluster.run("build", cwd=clean.build, number=number)
        assert again["cached"] == again["shards"], again
        check_is_the_local_build(clean)


def welcome_and_idle(cluster: Cluster) -> bool:
    seen = [cluster.json("dist", "status", number=number)["nodes"] for number in (1, VICTIM)]
    alive = all(node["state"] == "alive" for nodes in seen for node in nodes)
    return alive and not any(node["busy"] for nodes in seen for node in nodes)
