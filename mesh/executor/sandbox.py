"""What keeps an action from seeing and touching what it did not declare.

`bwrap` (bubblewrap): own user, pid, net, ipc and uts namespaces, no network, and a root of its own:
read-only system directories, a minimal /etc, private /tmp, /dev and /proc, and the slot's work tree
at the action's mounts. Everything else of the machine does not exist in there, and everything that
is writable is emptied between actions.

`plain`: the same launcher without namespaces. Actions see the machine's files and its network; a
warning says so and how to change it. See `mesh.executor.plain` for how paths are mapped.

`detect_sandbox` tries the real thing once, because being installed is not being permitted.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import attrs

from mesh.action.model import inside
from mesh.limits import OUTPUT_FILES_BYTES_MAX
from mesh.ports.actions import SandboxChoice, SandboxWarning

BWRAP, PLAIN = "bwrap", "plain"

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix")
_ETC_SHARED = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives")
_ETC_OWN = {
    "passwd": "root:x:0:0:root:/:/bin/sh\nvitte:x:1000:1000:vitte:/tmp:/bin/sh\n",
    "group": "root:x:0:\nvitte:x:1000:\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}
_SCRATCH = ("/tmp", "/dev/shm", "/dev/mqueue")  # noqa: S108 - inside the sandbox they are private
_PROBE_TIMEOUT_S = 10.0
_PYTHON_MIN = (3, 9)
_PARTS = ("leftovers", "launcher")
_INSTALLERS = (
    ("apt-get", "sudo apt install bubblewrap"),
    ("dnf", "sudo dnf install bubblewrap"),
    ("pacman", "sudo pacman -S bubblewrap"),
    ("zypper", "sudo zypper install bubblewrap"),
    ("apk", "sudo apk add bubblewrap"),
)
_APPARMOR = Path("/proc/sys/kernel/apparmor_restrict_unprivileged_userns")


@attrs.frozen
class SlotPaths:
    """The folders of one slot on this machine."""

    work: Path
    """Mirrors the root: the mount /a/b of an action is at work/a/b."""
    tmp: Path
    etc: Path

    def host(self, path: str) -> str:
        """Where a path inside the sandbox is on this machine."""
        return f"{self.work}{path}"


@attrs.frozen
class View:
    """What a launcher shows to its actions; another view needs another launcher."""

    mounts: tuple[str, ...]
    tool_dirs: tuple[str, ...] = ()


def detect_sandbox() -> SandboxChoice:
    """Find out, by trying it, what this machine can do. Blocking, about 30 ms."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        command = next((text for tool, text in _INSTALLERS if shutil.which(tool)), "")
        return SandboxChoice(PLAIN, SandboxWarning("bubblewrap is not installed", command))
    program, extra = find_python()
    argv = [bwrap, *_isolation(), *_system_args(extra), program, "-I", "-S", "-c", "pass"]
    try:
        done = subprocess.run(
            argv, env={}, capture_output=True, timeout=_PROBE_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return SandboxChoice(PLAIN, SandboxWarning(f"bubblewrap does not run: {error}"))
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()[:300]
        return SandboxChoice(PLAIN, SandboxWarning(f"bubblewrap may not run: {said}", _permit()))
    return SandboxChoice(BWRAP)


def find_python() -> tuple[str, tuple[str, ...]]:
    """(interpreter for the launcher, directories that must be visible for it).

    The system's own costs nothing, because /usr is visible anyway; ours brings its installation.
    """
    for candidate in (os.path.realpath(sys.executable), os.path.realpath("/usr/bin/python3")):
        found = re.fullmatch(r"/usr/bin/python(\d+)\.(\d+)", candidate)
        if (
            found
            and (int(found[1]), int(found[2])) >= _PYTHON_MIN
            and os.access(candidate, os.X_OK)
        ):
            return candidate, ()
    return os.path.realpath(sys.executable), (os.path.realpath(sys.base_prefix),)


def write_etc(folder: Path) -> None:
    """Make the few files that a sandbox sees in /etc besides the linker's."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in _ETC_OWN.items():
        (folder / name).write_text(text)


def launcher_argv(kind: str, paths: SlotPaths, view: View) -> list[str]:
    """The command line of a launcher. Raises ValueError for a mount that no sandbox can have."""
    return _bwrap_argv(paths, view) if kind == BWRAP else _plain_argv(paths, view)


def _bwrap_argv(paths: SlotPaths, view: View) -> list[str]:
    bwrap = shutil.which("bwrap")
    assert bwrap is not None, "detect_sandbox found it"
    for mount in view.mounts:
        if any(inside(mount, folder) for folder in (*_SYSTEM, "/etc", "/dev", "/proc")):
            raise ValueError(f"a project in {mount} would lie in a system directory")
    program, extra = find_python()
    etc = [arg for name in _ETC_OWN for arg in ("--ro-bind", f"{paths.etc}/{name}", f"/etc/{name}")]
    binds = [
        arg for mount in outermost(view.mounts) for arg in ("--bind", paths.host(mount), mount)
    ]
    tools = [*extra, *view.tool_dirs]
    visible = [each for each in tools if not any(inside(each, mount) for mount in view.mounts)]
    scratch = [each for each in _SCRATCH if not any(inside(each, m) for m in view.mounts)]
    return [
        bwrap,
        *_isolation(),
        *_system_args(tuple(visible)),
        *etc,
        *binds,
        *("--remount-ro", "/", "--remount-ro", "/dev"),
        *_python(program, {"namespace": True, "scratch": scratch, "keep": list(view.mounts)}),
    ]


def _plain_argv(paths: SlotPaths, view: View) -> list[str]:
    del view  # everything is visible anyway
    config = {"namespace": False, "scratch": [str(paths.tmp)], "keep": []}
    return _python(os.path.realpath(sys.executable), config)


def _python(program: str, config: dict[str, object]) -> list[str]:
    config["file_bytes_max"] = OUTPUT_FILES_BYTES_MAX
    return [program, "-I", "-S", "-X", "utf8", "-c", launcher_source(), json.dumps(config)]


def launcher_source() -> str:
    """The launcher as one program: a sandbox sees none of our files."""
    lines = ["import sys, types"]
    for part in _PARTS:
        text = Path(__file__).with_name(f"{part}.py").read_text("utf-8")
        name = f"mesh.executor.{part}"
        lines.append(f"sys.modules[{name!r}] = module = types.ModuleType({name!r})")
        lines.append(f"exec(compile({text!r}, {name!r}, 'exec'), module.__dict__)")
    return "\n".join([*lines, "module.main()"])


def _isolation() -> list[str]:
    own = ["user", "pid", "net", "ipc", "uts"]
    return [
        *(f"--unshare-{each}" for each in own),
        "--unshare-cgroup-try",
        *("--uid", "1000", "--gid", "1000", "--cap-drop", "ALL", "--hostname", "vitte"),
        *("--die-with-parent", "--new-session", "--as-pid-1"),
    ]


def _system_args(extra: Sequence[str]) -> list[str]:
    """Mounts of everything but the project; `extra` directories as they are, read-only."""
    args: list[str] = []
    for folder in _SYSTEM:
        if os.path.islink(folder):
            args += ["--symlink", os.readlink(folder), folder]
        elif os.path.isdir(folder):
            args += ["--ro-bind", folder, folder]
    for name in _ETC_SHARED:
        args += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
    args += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/dev/shm"]  # noqa: S108
    args += ["--mqueue", "/dev/mqueue", "--tmpfs", "/tmp"]  # noqa: S108
    for folder in extra:
        if not any(inside(folder, each) for each in _SYSTEM):
            args += ["--ro-bind-try", folder, folder]
    return args


def outermost(mounts: Sequence[str]) -> list[str]:
    """The mounts that lie in no other one: the others come with them."""
    return [
        mount
        for mount in mounts
        if not any(other != mount and inside(mount, other) for other in mounts)
    ]


def _permit() -> str:
    if _APPARMOR.exists() and _APPARMOR.read_text().strip() == "1":
        return "sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0"
    return ""
