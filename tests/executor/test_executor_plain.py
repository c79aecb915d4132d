"""Plain mode: same results as in the sandbox, as far as paths can be mapped; and its warning."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import open_bench, require
from hypothesis import given
from hypothesis import strategies as st

from mesh.cas.blobs import BlobStore
from mesh.errors import CannotSpawn
from mesh.executor import sandbox
from mesh.executor.executor import Executor, ExecutorConfig
from mesh.executor.plain import Rewriter
from mesh.executor.sandbox import detect_sandbox
from mesh.ports.actions import SandboxChoice, SandboxWarning
from mesh.ports.real.clock import RealClock
from mesh.ports.real.disk import RealDisk
from mesh.ports.real.exec import RealExec

MOUNT = "/vitte/project"
ROOT = "/scratch/0/work"


@pytest.fixture
def rewriter() -> Rewriter:
    return Rewriter(ROOT, (MOUNT, "/home/u/p"))


def test_mount_paths_become_scratch_paths(rewriter: Rewriter) -> None:
    inside = ROOT + MOUNT
    assert rewriter.text(f"-I{MOUNT}/inc:{MOUNT}") == f"-I{inside}/inc:{inside}"
    assert rewriter.text(f"{MOUNT}s {MOUNT}-2 {MOUNT}.old") == f"{MOUNT}s {MOUNT}-2 {MOUNT}.old"
    assert rewriter.text("/home/u/p/x") == f"{ROOT}/home/u/p/x"
    assert rewriter.path(MOUNT) == inside


@given(st.lists(st.sampled_from([MOUNT, "/home/u/p", "/", "a", " ", ":", "-I", "\n"])))
def test_back_is_the_inverse(parts: list[str]) -> None:
    rewriter = Rewriter(ROOT, (MOUNT, "/home/u/p"))
    text = "".join(parts)
    assert rewriter.back(rewriter.text(text).encode()).decode() == text


def test_compilers_get_a_prefix_map(rewriter: Rewriter) -> None:
    flag = f"-ffile-prefix-map={ROOT}{MOUNT}={MOUNT}"
    for compiler in ("cc", "/usr/bin/g++", "x86_64-linux-gnu-gcc-12", "clang++-17"):
        assert flag in rewriter.argv([compiler, "-c", "f.c"])
    for other in ("ld", "/usr/bin/python3", "ccache-stats", "accent"):
        assert rewriter.argv([other, "-c", "f.c"]) == [other, "-c", "f.c"]
    script = rewriter.argv(["/bin/sh", "-c", "cd x && /usr/bin/cc -c f.c; echo cc done"])[2]
    assert script.count("-ffile-prefix-map") == 2  # one per mount, at the one compiler call
    assert script.endswith("echo cc done")


def test_tmpdir_is_private_unless_chosen(rewriter: Rewriter) -> None:
    assert rewriter.env({}, "/t") == {"TMPDIR": "/t"}
    assert rewriter.env({"TMPDIR": "/mine", "A": MOUNT}, "/t") == {
        "TMPDIR": "/mine",
        "A": ROOT + MOUNT,
    }


async def test_paths_in_what_comes_back_are_the_mounts(plain: Any) -> None:
    execution = await plain.run(
        "echo $PWD; pwd >&2; printf '%s' \"$PWD/a.o: $PWD/a.c\" > a.d; ln -s $PWD/a.d l",
        outputs=("a.d", "l"),
    )
    assert plain.log(execution.stdout) == f"{MOUNT}\n"
    assert plain.log(execution.stderr) == f"{MOUNT}\n"
    assert plain.content(execution, "a.d") == f"{MOUNT}/a.o: {MOUNT}/a.c".encode()
    assert {each.path: each.link for each in execution.outputs}[f"{MOUNT}/l"] == "a.d"


async def test_compiled_objects_are_the_same_in_both(tmp_path: Path) -> None:
    require("bwrap")
    if not shutil.which("cc"):
        pytest.skip("no C compiler")
    source = b'#include "b.h"\n#include <assert.h>\nint f(int x) { assert(x == B); return x; }\n'
    made = []
    for kind in ("bwrap", "plain"):
        (tmp_path / kind).mkdir()
        async for bench in open_bench(tmp_path / kind, kind):
            tree = bench.tree({"src/a.c": source, "inc/b.h": b"#define B 1\n"})
            command = f"cc -g -MMD -I{MOUNT}/inc -c {MOUNT}/src/a.c -o out/a.o"
            for argv in (command.split(), ["/bin/sh", "-c", command]):
                execution = await bench.run(*argv, tree=tree, outputs=("out/a.o", "out/a.d"))
                assert execution.exit_status == 0, bench.log(execution.stderr)
                # The compiler wraps the lines of depfiles by the length of the paths.
                rule = bench.content(execution, "out/a.d").replace(b"\\\n", b"").split()
                made.append((bench.content(execution, "out/a.o"), rule))
    assert made[0] == made[1] == made[2] == made[3]


# -- choosing ------------------------------------------------------------------------------------
def test_missing_bubblewrap_is_a_warning_with_a_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = {"apt-get": "/usr/bin/apt-get"}
    monkeypatch.setattr(sandbox.shutil, "which", found.get)
    choice = detect_sandbox()
    assert choice.kind == "plain"
    assert str(choice.warning) == (
        "bubblewrap is not installed; fix: `sudo apt install bubblewrap`"
    )


def test_bubblewrap_that_may_not_run_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'setting up uid map: Permission denied' >&2; exit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sandbox.shutil, "which", lambda tool: str(broken))
    choice = detect_sandbox()
    assert choice.kind == "plain"
    assert "uid map: Permission denied" in str(choice.warning)


async def test_auto_takes_what_there_is_and_bwrap_insists(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nothing = SandboxChoice("plain", SandboxWarning("bubblewrap is not installed"))
    monkeypatch.setattr("mesh.executor.executor.detect_sandbox", lambda: nothing)
    store = BlobStore(RealDisk(tmp_path / "blobs"))
    async with Executor(
        RealExec(), RealClock(), store, ExecutorConfig(tmp_path / "s", 1)
    ) as executor:
        assert executor.sandbox == nothing
    insists = Executor(RealExec(), RealClock(), store, ExecutorConfig(tmp_path / "s", 1, "bwrap"))
    with pytest.raises(CannotSpawn, match="not installed"):
        await insists.__aenter__()
