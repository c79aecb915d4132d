#!/usr/bin/env python3
"""Set-up and the two things to try first, with nothing but Python 3.11 or newer.

    python3 bootstrap.py demo [ARG...]    four nodes here build a real C project, twice
    python3 bootstrap.py test [ARG...]    every test; arguments go to pytest
    python3 bootstrap.py setup            only the set-up

Makes `.venv` beside this file, installs the project into it (editable) with what the command needs,
runs the command there and returns its exit status. A stamp in `.venv` remembers what was installed
for which pyproject.toml, so that the next call starts at once. No root, nothing outside `.venv`.

Deliberately not here: system packages. bubblewrap, a C compiler and the like make the mesh better;
`.venv/bin/vitte doctor` says what is missing and the command that installs it.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "bootstrap-stamp.json"
PIP_WITH_GROUPS = "pip>=25.1"
"""The first pip that installs dependency groups (PEP 735)."""

SETS = {"demo": (".[demo]", ()), "test": (".[demo]", ("test",)), "setup": (".[demo]", ("dev",))}
"""What each command needs: the project with its extras, and dependency groups."""

BY_FILE = ("--dist", "loadfile", "--no-loadscope-reorder")

ENOUGH = {"demo": {"demo", "test", "setup"}, "test": {"test", "setup"}, "setup": {"setup"}}
"""Which earlier installations contain all that a command needs."""


def main(argv: list[str]) -> int:
    if sys.version_info < (3, 11):
        return fail(f"this is Python {sys.version.split()[0]}; 3.11 or newer is needed")
    if not argv or argv[0] not in SETS:
        print((__doc__ or "").strip(), file=sys.stderr if argv[:1] != ["--help"] else sys.stdout)
        return 0 if argv[:1] == ["--help"] else 2
    command, arguments = argv[0], argv[1:]
    try:
        set_up(command)
    except SetupFailed as error:
        return fail(str(error))
    return run(command, arguments)


class SetupFailed(Exception):
    """What went wrong and what to do about it, for people."""


def run(command: str, arguments: list[str]) -> int:
    """Become the command. -P: what lies in the current directory is never imported by accident."""
    argv = {
        "demo": ["-m", "cli.main", "dist", "demo"],
        # One file at a time for each core, and one more: much of a test's time is waiting for
        # processes. The order of files is the tests' own (`tests/conftest.py`).
        "test": ["-m", "pytest", "-n", str((os.cpu_count() or 1) + 1), *BY_FILE],
        "setup": ["-m", "cli.main", "doctor"],
    }[command]
    if command == "test":
        os.chdir(ROOT)
        # The tests' own cmake and ninja, for machines that have none.
        os.environ["PATH"] = f"{PYTHON.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    sys.stdout.flush()
    os.execv(PYTHON, [str(PYTHON), "-P", *argv, *arguments])


# -- set-up ---------------------------------------------------------------------------------------
def set_up(command: str) -> None:
    """Bring `.venv` to what `command` needs. Raises SetupFailed."""
    if not python_works():
        make_venv()
    wanted = fingerprint()
    done = read_stamp()
    if done.get("fingerprint") == wanted and ENOUGH[command] & {*done.get("sets", [])}:
        return
    install(command)
    # An editable install leaves our own packages uncompiled; every start would pay for it.
    attempt([str(PYTHON), "-m", "compileall", "-q", "mesh", "cli", "sim"])
    kept = done.get("sets", []) if done.get("fingerprint") == wanted else []
    STAMP.write_text(json.dumps({"fingerprint": wanted, "sets": sorted({*kept, command})}))


def fingerprint() -> str:
    """Changes with the project's requirements, this script, the interpreter and the place."""
    h = hashlib.sha256()
    for path in (ROOT / "pyproject.toml", Path(__file__)):
        h.update(path.read_bytes())
    h.update(os.fsencode(ROOT))
    h.update(os.fsencode(os.path.realpath(PYTHON)))
    return h.hexdigest()


def read_stamp() -> dict[str, Any]:
    try:
        stamp = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def python_works() -> bool:
    """Whether `.venv` has an interpreter that starts (it may have been moved, or upgraded away)."""
    if not PYTHON.exists():
        return False
    check = "import sys; sys.exit(sys.version_info < (3, 11))"
    return subprocess.run([PYTHON, "-I", "-c", check], check=False).returncode == 0


def make_venv() -> None:
    say(f"making {VENV.name} with Python {sys.version.split()[0]}")
    uv = shutil.which("uv")
    if find_spec("ensurepip") and find_spec("venv"):
        call([sys.executable, "-m", "venv", "--clear", str(VENV)])
    elif uv:
        call([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(VENV)])
    elif find_spec("pip") and find_spec("venv"):
        call([sys.executable, "-m", "venv", "--clear", "--without-pip", str(VENV)])
        call([sys.executable, "-m", "pip", "--python", str(PYTHON), "install", "-q", "pip"])
    else:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise SetupFailed(
            f"this Python cannot make virtual environments; install what it lacks with\n"
            f"    sudo apt install python{version}-venv\n"
            "and run this again"
        )


def install(command: str) -> None:
    project, groups = SETS[command]
    options = [word for group in groups for word in ("--group", group)]
    say("installing what it needs into .venv (a minute the first time)")
    uv = shutil.which("uv")
    into = ["--python", str(PYTHON)]
    compiled = "--compile-bytecode"  # as pip does; without it every node start compiles trio anew
    if uv and attempt([uv, "pip", "install", "-q", compiled, *into, "-e", project, *options]):
        return
    pip = [str(PYTHON), "-I", "-m", "pip"]
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    if not attempt([*pip, "--version"]) and not attempt([str(PYTHON), "-I", "-m", "ensurepip"]):
        call([sys.executable, "-m", "pip", "--python", str(PYTHON), "install", "-q", "pip"])
    if groups:
        call([*pip, "install", *quiet, PIP_WITH_GROUPS])
    call([*pip, "install", *quiet, "-e", project, *options])


def attempt(argv: list[str]) -> bool:
    """Run quietly in the project's root; whether it worked."""
    result = subprocess.run(
        argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    return result.returncode == 0


def call(argv: list[str]) -> None:
    """Run in the project's root, output to stderr. Raises SetupFailed."""
    result = subprocess.run(
        argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False
    )
    if result.returncode != 0:
        raise SetupFailed(
            f"this command failed (exit status {result.returncode}); what it said is above\n"
            f"    {' '.join(argv)}"
        )


def say(text: str) -> None:
    print(f"bootstrap: {text}", file=sys.stderr, flush=True)


def fail(text: str) -> int:
    say(f"error: {text}")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
