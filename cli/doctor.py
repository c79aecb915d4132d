"""What can be wrong with this machine, found without a node; and what the node adds.

Each check is a function that returns CheckViews: name, status (ok, warn, fail), text, next step. A
`fail` means that vitte-mesh cannot work; a `warn` that it works less well.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from importlib.metadata import packages_distributions
from pathlib import Path

from cli import homes
from cli.client import ask
from cli.i18n import t
from mesh.control.views import CheckView
from mesh.errors import MeshError

PYTHON_MIN = (3, 11)
DISK_FREE_BYTES_MIN = 2 * 10**9
CLOCK_EARLIEST_S = 1_767_225_600.0
"""2026-01-01: a clock before the program itself was written is not set."""
PROBE_TIMEOUT_S = 10.0
OUR_DISTRIBUTION = "vitte-mesh"
OUR_PACKAGES = ("mesh", "cli", "sim")


def examine(home: str) -> list[CheckView]:
    """All checks, in the order in which one would fix things."""
    checks: list[CheckView] = []
    for examiner in (python, packages, sandbox, compiler, ninja, clock):
        checks += examiner()
    checks += disk(home)
    checks += node(home)
    return checks


def _check(name: str, status: str, text: str, next_step: str = "") -> CheckView:
    return {"name": name, "status": status, "text": text, "next_step": next_step}


def python() -> Iterable[CheckView]:
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info[:2] < PYTHON_MIN:
        return [
            _check("python", "fail", version, t("install Python 3.11 or newer")),
        ]
    return [_check("python", "ok", f"{version} ({sys.executable})")]


def packages(
    owners: Callable[[], object] = packages_distributions,
) -> Iterable[CheckView]:
    """Another wheel with a top-level `cli` or `mesh` silently replaces our files."""
    found = owners()
    assert isinstance(found, dict)
    for package in OUR_PACKAGES:
        others = sorted({name for name in found.get(package, []) if name != OUR_DISTRIBUTION})
        if others:
            yield _check(
                "packages",
                "fail",
                t(
                    "`{package}` also belongs to {others}",
                    package=package,
                    others=", ".join(others),
                ),
                t("install vitte-mesh in an environment of its own: `uv tool install vitte-mesh`"),
            )
            return
    yield _check("packages", "ok", t("nothing else owns `mesh`, `cli` or `sim`"))


def sandbox() -> Iterable[CheckView]:
    program = shutil.which("bwrap")
    if program is None:
        return [
            _check(
                "sandbox",
                "warn",
                t("bubblewrap is not installed: actions run without isolation"),
                "sudo apt install bubblewrap",
            )
        ]
    argv = [program, "--ro-bind", "/", "/", "--unshare-all", "--die-with-parent", "true"]
    problem = _run_quietly(argv)
    if problem:
        return [
            _check(
                "sandbox",
                "warn",
                t("bubblewrap does not work here: {why}", why=problem),
                t("allow unprivileged user namespaces, or live without isolation"),
            )
        ]
    return [_check("sandbox", "ok", f"bubblewrap ({program})")]


def compiler() -> Iterable[CheckView]:
    for name in (os.environ.get("CC") or "cc", "gcc", "clang"):
        program = shutil.which(name)
        if program:
            return [_check("compiler", "ok", program)]
    return [
        _check("compiler", "warn", t("no C compiler on PATH"), "sudo apt install build-essential")
    ]


def ninja() -> Iterable[CheckView]:
    program = shutil.which("ninja") or shutil.which("ninja-build")
    if program:
        return [_check("ninja", "ok", program)]
    return [
        _check(
            "ninja",
            "warn",
            t("no ninja on PATH: CMake and Meson projects cannot be planned"),
            "sudo apt install ninja-build",
        )
    ]


def clock(now_s: float | None = None) -> Iterable[CheckView]:
    now_s = time.time() if now_s is None else now_s
    if now_s < CLOCK_EARLIEST_S:
        return [
            _check(
                "clock",
                "warn",
                t("the clock says {year}: invitations will look expired", year=_year(now_s)),
                "sudo timedatectl set-ntp true",
            )
        ]
    return [_check("clock", "ok", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now_s)))]


def _year(now_s: float) -> int:
    return time.gmtime(now_s).tm_year


def disk(home: str) -> Iterable[CheckView]:
    place = Path(home)
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    text = t("{free:.1f} GB free under {place}", free=free / 1e9, place=place)
    if not os.access(place, os.W_OK):
        return [
            _check("disk", "fail", t("{place} cannot be written", place=place), t("use `--home`"))
        ]
    if free < DISK_FREE_BYTES_MIN:
        return [_check("disk", "warn", text, t("free some space: the cache needs it"))]
    return [_check("disk", "ok", text)]


def node(home: str) -> Iterable[CheckView]:
    if not homes.answers(home):
        return [
            _check(
                "node",
                "warn",
                t("no node is running for {home}", home=home),
                "vitte mesh init | vitte mesh join | vitte dist start --nodes 4",
            )
        ]
    try:
        ping = ask(home, "ping")
        inside = ask(home, "doctor")["checks"]
    except MeshError as error:
        return [_check("node", "fail", error.message(), error.next_step())]
    mesh = ping["mesh"]["name"] if ping["mesh"] else t("no mesh yet")
    text = t("{name} runs (process {pid}): {mesh}", name=ping["name"], pid=ping["pid"], mesh=mesh)
    return [_check("node", "ok", text), *inside]


def _run_quietly(argv: list[str]) -> str:
    """Empty when the program succeeds, else why it did not."""
    try:
        done = subprocess.run(argv, capture_output=True, timeout=PROBE_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return ""
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else f"exit status {done.returncode}"
