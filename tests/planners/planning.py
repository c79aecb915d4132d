"""Helpers of the planner tests: small projects on disk, and running a plan without the mesh.

`Runner` is the plain loop that the scheduler and the executor are in the product: it resolves each
step, runs it, and (with `isolated`) gives it nothing but what the action declares, by mounting the
action's tree with bubblewrap.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import time
from pathlib import Path

import attrs

from mesh.action.model import DIRECTORY, EXECUTABLE, SYMLINK
from mesh.cas.filehash import FileHasher
from mesh.executor.tooldirs import tool_dirs
from mesh.planners.base import Kind, Plan, PlanRequest, Step
from mesh.planners.ninja.logs import Recorded
from mesh.planners.registry import make_plan
from mesh.planners.resolve import Resolved, Resolver, ResolverConfig
from mesh.planners.systemheaders import IncludeMemory
from mesh.planners.toolchain import Toolchains
from mesh.planners.validate import host_path
from mesh.types import Digest

SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/etc", "/opt")


def write(root: Path, files: dict[str, str]) -> Path:
    """Write files below `root`; returns it."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def git(root: Path, *words: str) -> None:
    env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    subprocess.run(["git", "-C", root, *words], check=True, capture_output=True, env=env)


def request(cwd: Path, kind: Kind = Kind.BUILD, **more: object) -> PlanRequest:
    more.setdefault("env", dict(os.environ))
    return PlanRequest(kind=kind, cwd=cwd, **more)


def plan(cwd: Path, kind: Kind = Kind.BUILD, **more: object) -> Plan:
    return make_plan(request(cwd, kind, **more))


class Memory:
    """A ScanStore in memory."""

    def __init__(self) -> None:
        self.items: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self.items.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        self.items[key] = value


def resolver(
    of: Plan,
    store: Memory | None = None,
    hasher: FileHasher | None = None,
    includes: IncludeMemory | None = None,
) -> Resolver:
    hasher = hasher or FileHasher()
    return Resolver(ResolverConfig(of, hasher, store, Toolchains(hasher), includes))


def step_named(of: Plan, name: str) -> Step:
    return next(step for step in of.steps if step.name == name)


@attrs.define
class Runner:
    """Runs a plan in order; a step whose action has been seen before gets its old outputs."""

    store: Memory = attrs.field(factory=Memory)
    hasher: FileHasher = attrs.field(factory=FileHasher)
    cache: dict[Digest, list[tuple[Path, bytes | str, int]]] = attrs.field(factory=dict)
    """By action: outputs with content (a string is a link's target) and mode."""
    ran: list[str] = attrs.field(factory=list)
    recorded: list[Recorded] = attrs.field(factory=list)
    resolved: dict[str, Resolved] = attrs.field(factory=dict)
    isolated: Path | None = None
    """A folder for scratch trees: run every step with nothing but its action's inputs."""

    def run(self, of: Plan) -> None:
        """Run all steps. Raises CalledProcessError."""
        self.ran, self.recorded = [], []
        resolve = resolver(of, self.store, self.hasher)
        start_s = time.monotonic()
        for step in of.steps:
            resolved = resolve.resolve(step)
            self.resolved[step.name] = resolved
            begin_ms = int((time.monotonic() - start_s) * 1000)
            if resolved.digest in self.cache:
                _restore(self.cache[resolved.digest])
            else:
                self.ran.append(step.name)
                self._execute(of, step, resolved)
                if resolved.cacheable:
                    self.cache[resolved.digest] = _outputs(of, step)
            if step.ninja is not None:
                end_ms = int((time.monotonic() - start_s) * 1000)
                self.recorded.append(
                    Recorded(
                        step.ninja,
                        begin_ms,
                        end_ms,
                        reads=resolved.reads,
                        newest_input_ns=resolved.newest_input_ns,
                    )
                )

    def _execute(self, of: Plan, step: Step, resolved: Resolved) -> None:
        if self.isolated is not None and not step.local:
            self._execute_isolated(of, step, resolved)
            return
        for output in step.outputs:
            Path(host_path(output.path, of.mounts)).parent.mkdir(parents=True, exist_ok=True)
        for path, content in step.response_files:
            Path(host_path(path, of.mounts)).write_bytes(content)
        cwd = host_path(step.cwd, of.mounts)
        subprocess.run(step.argv, cwd=cwd, env=dict(step.env), check=True, capture_output=True)

    def _execute_isolated(self, of: Plan, step: Step, resolved: Resolved) -> None:
        scratch = Path(self.isolated) / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        _materialise(scratch, resolved)
        for path in (step.cwd, *(each.path.rpartition("/")[0] for each in step.outputs)):
            (scratch / path[1:]).mkdir(parents=True, exist_ok=True)
        argv = ["bwrap", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--unshare-net"]
        for path in SYSTEM:
            if Path(path).is_symlink():
                argv += ["--symlink", str(Path(path).readlink()), path]
            elif Path(path).is_dir():
                argv += ["--ro-bind", path, path]
        for path in tool_dirs(resolved.toolchain, None):
            argv += ["--ro-bind", path, path]
        for mount in of.mounts:
            (scratch / mount.inside[1:]).mkdir(parents=True, exist_ok=True)
            argv += ["--bind", str(scratch / mount.inside[1:]), mount.inside]
        argv += ["--chdir", step.cwd, "--", *step.argv]
        done = subprocess.run(argv, env=dict(step.env), capture_output=True, text=True)
        assert done.returncode == 0, f"{step.name}: {done.stdout}{done.stderr}"
        for output in step.outputs:
            made = scratch / output.path[1:]
            if output.optional and not os.path.lexists(made):
                continue
            _place(made, Path(host_path(output.path, of.mounts)))


def _outputs(of: Plan, step: Step) -> list[tuple[Path, bytes | str, int]]:
    found: list[tuple[Path, bytes | str, int]] = []
    for output in step.outputs:
        path = Path(host_path(output.path, of.mounts))
        if path.is_symlink():
            found.append((path, str(path.readlink()), 0))
        elif path.is_file():
            found.append((path, path.read_bytes(), path.stat().st_mode))
    return found


def _restore(outputs: list[tuple[Path, bytes | str, int]]) -> None:
    for path, content, mode in outputs:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if isinstance(content, str):
            path.symlink_to(content)
        else:
            path.write_bytes(content)
            path.chmod(mode)


def _materialise(root: Path, resolved: Resolved) -> None:
    for entry in resolved.tree.entries:
        path = root / entry.path[1:]
        path.parent.mkdir(parents=True, exist_ok=True)
        if entry.kind == SYMLINK:
            path.symlink_to(entry.link)
        elif entry.kind == DIRECTORY:
            path.mkdir(exist_ok=True)
        else:
            content = resolved.inline.get(entry.digest)
            if content is None:
                content = resolved.sources[entry.digest].read_bytes()
            path.write_bytes(content)
            if entry.kind == EXECUTABLE:
                path.chmod(path.stat().st_mode | stat.S_IXUSR)


def _place(made: Path, where: Path) -> None:
    where.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(where) and not where.is_dir():
        where.unlink()
    if made.is_dir() and not made.is_symlink():
        shutil.copytree(made, where, dirs_exist_ok=True)
    else:
        shutil.copy(made, where, follow_symlinks=False)
