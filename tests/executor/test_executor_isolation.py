"""What an action cannot see, reach, keep or write: each way of trying has its test."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import attrs
import pytest
from conftest import require

from mesh.action.model import DIRECTORY, FILE, SYMLINK, OutputSpec, Tree, TreeEntry
from mesh.errors import CannotSpawn, OutputMissing, PathEscapes
from mesh.executor.sandbox import launcher_source

MOUNT = "/vitte/project"


# -- nothing undeclared is visible ---------------------------------------------------------------
async def test_only_declared_inputs_are_there(bench: Any) -> None:
    await bench.run("echo left > behind; mkdir -p deep/er; touch deep/er/f", tree=bench.tree())
    tree = bench.tree({"declared": b"x", "dir/empty": None})
    said = await bench.says("find . | sort", tree=tree)
    assert said.split() == [".", "./declared", "./dir", "./dir/empty"]


async def test_the_machines_files_do_not_exist(sandboxed: Any, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    script = f"ls {tmp_path} /root /home /var /etc/shadow /work /sys 2>/dev/null; ls /"
    shown = set((await sandboxed.says(script)).split())
    expected = {"bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "nix", "opt", "proc"}
    assert shown <= expected | {"sbin", "tmp", "usr", "vitte"}


async def test_only_its_own_processes_are_visible(sandboxed: Any) -> None:
    pids = (await sandboxed.says("ls /proc | grep '^[0-9]' | sort -n")).split()
    assert pids[0] == "1"
    assert len(pids) <= 5


async def test_network_is_unreachable(sandboxed: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = (
            "import socket, sys\n"
            "for host in ('127.0.0.1', '192.0.2.1'):\n"
            "    try: socket.create_connection((host, int(sys.argv[1])), 5)\n"
            "    except OSError as error: print(error.errno)\n"
        )
        said = await sandboxed.says("/usr/bin/python3", "-c", code, str(port))
        assert said.split() == ["111", "101"]  # refused on its own loopback; no network
        assert await sandboxed.says("grep -c : /proc/net/dev") == "1\n"


async def test_system_is_read_only_and_user_is_nobody_special(sandboxed: Any) -> None:
    said = await sandboxed.says(
        "for d in / /usr /usr/bin /etc /dev /vitte; do touch $d/x 2>/dev/null && echo $d; done;"
        "id -u; grep CapEff /proc/self/status | cut -f2"
    )
    assert said.split() == ["1000", "0000000000000000"]


async def test_the_launcher_cannot_be_touched(sandboxed: Any) -> None:
    """It runs as the same user: killing, tracing and opening its descriptors must all fail."""
    said = await sandboxed.says(
        "test $(ls /proc | grep -c '^[0-9]') -lt 9 || exit 9;"  # only ever in a namespace
        "kill -9 1; kill -TERM -1; sleep 0.05; cat /proc/1/environ; ls -l /proc/1/fd/3;"
        "echo x > /proc/1/mem; echo alive"
    )
    assert said.splitlines()[-1] == "alive"
    assert "socket" not in said


async def test_tool_dirs_are_readable_and_nothing_beside_them(
    sandboxed: Any, tmp_path: Path
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "compiler").write_text("#!/bin/sh\necho compiled\n")
    (tools / "compiler").chmod(0o755)
    (tmp_path / "secret").write_text("secret")
    job = sandboxed.job(f"{tools}/compiler; ls {tmp_path}; touch {tools}/x")
    job = attrs.evolve(job, tool_dirs=(str(tools),))
    execution = await sandboxed.executor.execute(job)
    assert sandboxed.log(execution.stdout).split() == ["compiled", "tools"]
    assert execution.exit_status != 0
    assert not (tools / "x").exists()
    with pytest.raises(CannotSpawn):
        await sandboxed.run(f"{tools}/compiler", "x")


async def test_project_in_a_system_directory_is_an_error_not_a_hole(sandboxed: Any) -> None:
    job = sandboxed.job("true")
    action = attrs.evolve(job.action, mounts=("/usr/src/p",), cwd="/usr/src/p")
    with pytest.raises(CannotSpawn, match="system directory"):
        await sandboxed.executor.execute(attrs.evolve(job, action=action))


# -- nothing is left -----------------------------------------------------------------------------
DAEMON = (
    "import os, sys, time\n"
    "if os.fork(): sys.exit()\n"
    "os.setsid()\n"
    "if os.fork(): os._exit(0)\n"
    "for number in range(1, 65):\n"
    "    try: __import__('signal').signal(number, 1)\n"
    "    except (OSError, ValueError): pass\n"
    "open('daemon', 'w').close()\n"
    "time.sleep(1000)\n"
)


async def test_daemons_are_killed_before_the_result(bench: Any) -> None:
    script = f'/usr/bin/python3 -c "{DAEMON}"; while ! test -e daemon; do sleep 0.01; done'
    assert (await bench.run(script)).exit_status == 0
    assert not [each for each in bench.processes() if "range(1, 65)" in each]


async def test_background_jobs_are_killed_before_the_result(bench: Any) -> None:
    script = "for i in 1 2 3 4 5 6 7 8; do (sleep 1000; echo late >> f) & done; echo done"
    assert await bench.says(script) == "done\n"
    assert not [each for each in bench.processes() if "sleep" in each]


async def test_temporary_files_are_gone(bench: Any) -> None:
    tmp = "${TMPDIR:-/tmp}"
    await bench.run(
        f"mkdir -p {tmp}/a/b; touch {tmp}/f {tmp}/a/b/g; chmod 000 {tmp}/a/b; ln -s / {tmp}/root"
    )
    assert await bench.says(f"ls -A {tmp}") == ""
    assert (await bench.run("/usr/bin/env", "true")).exit_status == 0  # the link led nowhere


async def test_shared_memory_is_gone(sandboxed: Any) -> None:
    """Files in /dev/shm are removed; System V segments cost the sandbox its life."""
    make = "import ctypes; print(ctypes.CDLL(None).shmget(77, 4096, 0o1666) >= 0)"
    await sandboxed.run("echo x > /dev/shm/left; echo x > /tmp/left")
    assert await sandboxed.says("/usr/bin/python3", "-c", make) == "True\n"
    assert await sandboxed.says("ls -A /dev/shm /tmp; tail -n +2 /proc/sysvipc/shm") == (
        "/dev/shm:\n\n/tmp:\n"
    )


async def test_project_below_tmp_survives_the_cleaning(sandboxed: Any) -> None:
    mount = "/tmp/build/project"
    job = sandboxed.job("true")
    tree = Tree((TreeEntry(f"{mount}/f", FILE, sandboxed.store.put(b"content"), 7),))
    argv = ("/bin/sh", "-c", "cat f; ls -A /tmp /tmp/build; touch /tmp/x /tmp/build/y")
    action = attrs.evolve(job.action, mounts=(mount,), cwd=mount, argv=argv)
    for _ in range(2):
        execution = await sandboxed.executor.execute(attrs.evolve(job, action=action, tree=tree))
        assert sandboxed.log(execution.stdout) == "content/tmp:\nbuild\n\n/tmp/build:\nproject\n"


async def test_deep_and_protected_leftovers_are_removed(bench: Any) -> None:
    code = (
        "import os\n"
        "for _ in range(1100):\n"
        "    os.mkdir('d' * 20); os.chdir('d' * 20)\n"
        "open('bottom', 'w').close(); os.chmod('.', 0)\n"
    )
    await bench.run("/usr/bin/python3", "-c", code)
    assert await bench.says("ls -A") == ""


async def test_inputs_changed_by_one_action_are_whole_for_the_next(bench: Any) -> None:
    tree = bench.tree({"f": b"good", "dir/g": b"good", "l": "f"})
    await bench.run(
        "echo evil > f; touch -d 2001-09-09 f; rm l; ln -s /etc/passwd l;"
        "rm -r dir; ln -s /etc dir; mkdir new; chmod 500 .",
        tree=tree,
    )
    assert await bench.says("cat f l dir/g; ls", tree=tree) == "goodgoodgooddir\nf\nl\n"


@pytest.mark.parametrize("kind", ["bwrap", "plain"])
def test_node_killed_leaves_nothing_running(tmp_path: Path, kind: str) -> None:
    require(kind)
    script = f"""
import sys, trio
sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}
from pathlib import Path
from conftest import open_bench
async def main():
    async for bench in open_bench(Path({str(tmp_path)!r}), {kind!r}):
        job = bench.job("(sleep 1000 &); sleep 1000 & echo running; wait",
                        on_output=lambda stream, data: print(data.decode(), flush=True))
        await bench.executor.execute(job)
trio.run(main)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as node:
        try:
            assert node.stdout is not None
            assert node.stdout.readline() == b"running\n"
            assert len(sleeping(tmp_path)) >= 2
        finally:
            node.send_signal(signal.SIGKILL)
    # Nobody is left who could tell us when they have ended: look until they have.
    deadline = time.monotonic() + 10
    while sleeping(tmp_path):
        assert time.monotonic() < deadline, sleeping(tmp_path)
        time.sleep(0.01)


def sleeping(base: Path) -> list[str]:
    """Processes that work in this place, whatever namespace they are in."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            mounted = (folder / "mountinfo").read_text()
            if str(base) in mounted or (folder / "cwd").readlink().is_relative_to(base):
                found.append((folder / "cmdline").read_text())
        except OSError:
            continue
    return found


# -- nothing outside is read or written ----------------------------------------------------------
@pytest.mark.parametrize(
    "entry",
    [
        TreeEntry("/etc/passwd", FILE),
        TreeEntry(f"{MOUNT}/../escape", FILE),
        TreeEntry(f"{MOUNT}/a//b", FILE),
        TreeEntry("relative", FILE),
        TreeEntry(f"{MOUNT}/l", SYMLINK, link="/etc/passwd"),
        TreeEntry(f"{MOUNT}/l", SYMLINK, link="../../etc/passwd"),
        TreeEntry("/vitte/projectile", DIRECTORY),
    ],
    ids=lambda entry: entry.path + entry.link,
)
async def test_inputs_that_escape_are_refused(bench: Any, entry: TreeEntry) -> None:
    with pytest.raises(PathEscapes):
        await bench.run("true", tree=Tree((entry,)))
    assert not list(bench.slots.glob("*/work/vitte/project/*"))
    assert not list(bench.slots.glob("*/work/etc"))


async def test_input_through_a_link_of_the_same_tree_is_refused(bench: Any) -> None:
    tree = bench.tree({"out": "elsewhere", "out/f": b"x"})
    with pytest.raises(PathEscapes):
        await bench.run("true", tree=tree)


@pytest.mark.parametrize("path", ["/etc/x", f"{MOUNT}/../x", "x", "/vitte"])
async def test_declared_outputs_and_cwd_must_be_inside(bench: Any, path: str) -> None:
    with pytest.raises(PathEscapes):
        await bench.run("true", outputs=(OutputSpec(path),))
    with pytest.raises(PathEscapes):
        await bench.run("true", cwd=path)


@pytest.mark.parametrize(
    ("script", "output"),
    [
        ("ln -s {outside}/secret made", "made"),
        ("ln -s ../../../../../etc/passwd made", "made"),
        ("ln -s {outside} dir", "dir/secret"),
        ("ln -s / dir", "dir/etc/passwd"),
        ("mkdir d; ln -s {outside} d/sub", "d/sub/secret"),
    ],
)
async def test_outputs_through_links_are_refused(
    bench: Any, tmp_path: Path, script: str, output: str
) -> None:
    """Our side reads outputs outside of the sandbox, where such a link would lead somewhere."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    top = output.partition("/")[0]
    script = f"rm -rf {top}; " + script.format(outside=outside)
    with pytest.raises((PathEscapes, OutputMissing)):
        await bench.run(script, outputs=(output,))
    assert (outside / "secret").read_text() == "secret"


async def test_directory_output_with_an_escaping_link_is_refused(bench: Any) -> None:
    spec = OutputSpec(f"{MOUNT}/d", directory=True)
    with pytest.raises(PathEscapes):
        await bench.run("mkdir d; touch d/f; ln -s /etc d/etc", outputs=(spec,))


async def test_next_preparation_does_not_write_through_links(bench: Any, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    await bench.run(f"ln -s {outside} dir; ln -s {outside}/file f")
    tree = bench.tree({"dir/file": b"input", "f": b"input"})
    assert await bench.says("cat dir/file f", tree=tree) == "inputinput"
    assert list(outside.iterdir()) == []


async def test_store_cannot_be_changed_through_an_input(bench: Any) -> None:
    tree = bench.tree({"f": b"original"})
    await bench.run("chmod 777 f; echo changed > f", tree=tree)
    assert bench.store.read(tree.entries[0].digest) == b"original"
    assert await bench.says("cat f", tree=tree) == "original"


async def test_moved_output_cannot_be_changed_afterwards(bench: Any) -> None:
    execution = await bench.run("echo made > a; ln a b", outputs=("a",))
    await bench.run("echo changed > b; echo changed > a")
    assert bench.content(execution, "a") == b"made\n"


def test_kill_of_everything_needs_a_namespace() -> None:
    """A launcher that believes to be alone, and is not, must refuse: its kill(-1) is for all."""
    config = '{"namespace": true, "scratch": [], "keep": [], "file_bytes_max": 1}'
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", launcher_source(), config], capture_output=True
    )
    assert done.returncode == 1
    assert b"pid namespace" in done.stderr
    assert os.getpid() > 1
