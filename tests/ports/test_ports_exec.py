"""RealExec: threads, and launchers that never outlive their context."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import pytest
import trio

from mesh.ports.real.exec import RealExec

ECHO = """
import os, socket, sys
s = socket.socket(fileno=3)
while True:
    data, fds, _, _ = socket.recv_fds(s, 65536, 4)
    if not data:
        sys.exit()
    for fd in fds:
        data += os.read(fd, 100)
    s.send(data)
"""
STUBBORN = """
import os, signal, socket, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
s = socket.socket(fileno=3)
child = os.fork()
if child == 0:
    time.sleep(1000)
s.send(str(child).encode())
time.sleep(1000)
"""


def fds() -> list[str]:
    return [entry.name for entry in Path("/proc/self/fd").iterdir()]


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code]


def gone(pid: int) -> bool:
    """No such process, or only its zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


async def test_run_sync_runs_in_another_thread() -> None:
    assert await RealExec().run_sync(threading.get_ident) != threading.get_ident()


async def test_at_most_so_many_threads() -> None:
    running, most, gate = 0, 0, threading.Barrier(2)

    def work() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        gate.wait(timeout=10)  # passes only when two run together
        running -= 1

    executor = RealExec(threads=2)
    async with trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(executor.run_sync, work)
    assert most == 2


async def test_packets_and_descriptors_arrive() -> None:
    read, write = os.pipe()
    os.write(write, b"-fd")
    async with RealExec().launcher(python(ECHO), {}) as port:
        await port.send(b"one")
        assert await port.receive() == b"one"
        await port.send(b"two", [read])
        assert await port.receive() == b"two-fd"
    os.close(read)
    os.close(write)


async def test_end_of_launcher_is_an_empty_packet_with_last_words() -> None:
    async with RealExec().launcher(python("raise SystemExit('no way')"), {}) as port:
        assert await port.receive() == b""
        assert port.last_words() == "no way"


async def test_launcher_sees_only_its_environment_and_descriptors() -> None:
    code = (
        "import os, socket; s = socket.socket(fileno=3); "
        "fds = sorted(int(n) for n in os.listdir('/proc/self/fd') if int(n) < 1000); "
        "s.send(repr((sorted(k for k in os.environ if k != 'LC_CTYPE'), fds[:4], os.getsid(0) == "
        "os.getpid())).encode())"
    )
    async with RealExec().launcher(python(code), {"A": "1"}) as port:
        names, fds, leads = eval(await port.receive())
    assert names == ["A"]
    assert fds == [0, 1, 2, 3]
    assert leads


async def test_group_is_killed_when_it_will_not_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.ports.real.exec.EXIT_GRACE_S", 0.05)
    async with RealExec().launcher(python(STUBBORN), {}) as port:
        child = int(await port.receive())
        assert not gone(port.pid)
    assert gone(port.pid)
    # The group was killed at once, but only its leader is ours to wait for.
    with trio.fail_after(10):
        while not gone(child):  # noqa: ASYNC110 - a process elsewhere sets no event
            await trio.sleep(0.001)


async def test_cancellation_leaves_no_process_and_no_descriptor() -> None:
    before = set(fds())
    with trio.move_on_after(0.2):
        async with RealExec().launcher(python(ECHO), {}) as port:
            await trio.sleep_forever()
    assert gone(port.pid)
    assert set(fds()) <= before


async def test_unknown_program_is_an_os_error() -> None:
    before = set(fds())
    with pytest.raises(FileNotFoundError):
        async with RealExec().launcher(["/no/such/program"], {}):
            pass
    assert set(fds()) <= before


async def test_sending_to_a_dead_launcher_is_a_broken_pipe() -> None:
    async with RealExec().launcher(python("import time; time.sleep(1000)"), {}) as port:
        os.kill(port.pid, signal.SIGKILL)
        assert await port.receive() == b""
        with pytest.raises(BrokenPipeError):
            await port.send(b"x")
        port.kill()
    port.kill()  # and after it has been reaped it touches nobody
