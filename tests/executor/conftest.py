"""A bench for executors: a store, a clean root, and short ways to say what to run."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mesh.action.model import (
    DIRECTORY,
    EXECUTABLE,
    FILE,
    SYMLINK,
    Action,
    EnvVar,
    OutputSpec,
    Tree,
    TreeEntry,
    action_digest,
)
from mesh.cas.blobs import BlobStore
from mesh.executor.executor import Executor, ExecutorConfig
from mesh.executor.sandbox import detect_sandbox
from mesh.ports.actions import Execution, Job
from mesh.ports.real.clock import RealClock
from mesh.ports.real.disk import RealDisk
from mesh.ports.real.exec import RealExec
from mesh.types import digest_of
from mesh.wire.schema import encode_struct

MOUNT = "/vitte/project"
PATH = "/usr/local/bin:/usr/bin:/bin"


class Bench:
    """Runs shell commands as actions; paths are relative to the mount."""

    def __init__(self, base: Path, executor: Executor, store: BlobStore) -> None:
        self.base = base
        self.executor = executor
        self.store = store
        self.slots = base / "slots"

    def tree(self, files: dict[str, bytes | str | None] | None = None) -> Tree:
        """str values are link targets, None is an empty directory, x/... is executable."""
        entries = [self._entry(path, value) for path, value in sorted((files or {}).items())]
        tree = Tree(tuple(entries))
        self.store.put(encode_struct(tree))
        return tree

    def _entry(self, path: str, value: bytes | str | None) -> TreeEntry:
        path = f"{MOUNT}/{path}"
        if value is None:
            return TreeEntry(path, DIRECTORY)
        if isinstance(value, str):
            return TreeEntry(path, SYMLINK, link=value)
        kind = EXECUTABLE if "/x/" in path else FILE
        return TreeEntry(path, kind, self.store.put(value), len(value))

    def job(
        self,
        *argv: str,
        tree: Tree | None = None,
        outputs: tuple[str | OutputSpec, ...] = (),
        env: dict[str, str] | None = None,
        cwd: str = MOUNT,
        **options: Any,
    ) -> Job:
        """One string is a shell command."""
        if len(argv) == 1:
            argv = ("/bin/sh", "-c", argv[0])
        tree = tree if tree is not None else self.tree()
        specs = tuple(
            each if isinstance(each, OutputSpec) else OutputSpec(f"{MOUNT}/{each}")
            for each in outputs
        )
        variables = {"PATH": PATH} | (env or {})
        action = Action(
            argv=argv,
            env=tuple(EnvVar(name, value) for name, value in sorted(variables.items())),
            cwd=cwd,
            mounts=(MOUNT,),
            inputs=digest_of(encode_struct(tree)),
            outputs=specs,
            toolchain=digest_of(b""),
        )
        assert action_digest(action), "an action that can be sent"
        return Job(action, tree, name="the-shard", **options)

    async def run(self, *argv: str, **options: Any) -> Execution:
        return await self.executor.execute(self.job(*argv, **options))

    async def says(self, *argv: str, **options: Any) -> str:
        """stdout of a command that must succeed."""
        execution = await self.run(*argv, **options)
        assert execution.exit_status == 0, self.log(execution.stderr)
        return self.log(execution.stdout)

    def log(self, blob: Any) -> str:
        data = blob.inline if blob.inline or not blob.size_bytes else self.store.read(blob.digest)
        assert len(data) == blob.size_bytes
        return str(data.decode())

    def content(self, execution: Execution, path: str) -> bytes:
        (entry,) = [each for each in execution.outputs if each.path == f"{MOUNT}/{path}"]
        return self.store.read(entry.digest)

    def processes(self) -> list[str]:
        """Command lines of live processes that work below this bench."""
        found = []
        for folder in Path("/proc").iterdir():
            try:
                if not folder.name.isdigit():
                    continue
                if (folder / "cwd").readlink().is_relative_to(self.base):
                    found.append((folder / "cmdline").read_bytes().decode())
            except OSError:
                continue
        return found


KINDS = ["bwrap", "plain"]


detect_once = functools.cache(detect_sandbox)


def require(kind: str) -> None:
    if kind == "bwrap" and detect_once().kind != "bwrap":
        pytest.skip("bubblewrap cannot run here")


async def open_bench(base: Path, kind: str) -> AsyncIterator[Bench]:
    store = BlobStore(RealDisk(base / "blobs"))
    config = ExecutorConfig(root=base / "slots", slots=2, sandbox=kind, node="box")
    async with Executor(RealExec(), RealClock(), store, config) as executor:
        yield Bench(base, executor, store)


@pytest.fixture(params=KINDS)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    """Every test with this one runs in bubblewrap and in plain mode."""
    require(request.param)
    async for each in open_bench(tmp_path, request.param):
        yield each


@pytest.fixture
async def sandboxed(tmp_path: Path) -> AsyncIterator[Bench]:
    """For what only bubblewrap promises."""
    require("bwrap")
    async for each in open_bench(tmp_path, "bwrap"):
        yield each


@pytest.fixture
async def plain(tmp_path: Path) -> AsyncIterator[Bench]:
    """For what only plain mode has to do."""
    async for each in open_bench(tmp_path, "plain"):
        yield each
