"""Two test stands for one contract: two computers each, real ones on loopback and simulated ones.

    def test_something(stand: Stand) -> None:
        async def story(one: Computer, two: Computer) -> None: ...
        stand.run(story)

A story sees only ports. What differs between the stands (addresses, paths, plugs) is in Computer.
"""

from __future__ import annotations

import os
import pty
import select
import socket
import threading
import tty
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import attrs
import trio

from mesh.identity.certificates import certificate_pem, make_certificate, private_key_pem
from mesh.identity.keys import NodeKey
from mesh.node.real_env import real_env
from mesh.ports import ByteStream, Env, ProcessEnd, SpawnRequest
from mesh.ports.real.control import SOCKET_NAME, LocalStream
from mesh.ports.real.discovery import ZeroconfDiscovery
from mesh.types import NodeId
from sim.kernel.run import run_world
from sim.kernel.world import World
from sim.machine.machine import Machine, MachineConfig
from sim.machine.rack import Rack
from sim.net import Host, Network
from sim.serial import SerialLine

PATIENCE_S = 60.0


class Member:
    """A trust store that trusts whom it is told to."""

    def __init__(self, name: str) -> None:
        self.key = NodeKey(name.encode().ljust(32, b"."))
        self.certificate = make_certificate(self.key, name)
        self.trusted: dict[NodeId, bytes] = {}
        self._changes = 0

    @property
    def node_id(self) -> NodeId:
        return self.key.node_id

    def trusts(self, *others: Member) -> None:
        self.trusted = {other.node_id: other.certificate for other in others}
        self._changes += 1

    def own_certificate(self) -> tuple[bytes, bytes]:
        return certificate_pem(self.certificate), private_key_pem(self.key)

    def anchors(self) -> tuple[bytes, ...]:
        return tuple(self.trusted.values())

    def is_member(self, node: NodeId) -> bool:
        return node in self.trusted

    def generation(self) -> int:
        return self._changes


@attrs.frozen
class Computer:
    """One of the two."""

    env: Env
    member: Member
    host: str
    plug: str
    """The name of its end of the line between the two."""
    program: str
    """A program that says its second argument on stdout and the variable WORD on stderr, and ends
    with its first as status; without arguments it runs until it is killed."""
    dial_control: Callable[[], Awaitable[ByteStream]]
    """What a program of its user does."""


PROGRAM = """#!/bin/sh
[ $# -gt 0 ] || exec sleep 1000
printf %s "$2"
printf %s "$WORD" >&2
exit "$1"
"""


async def virtual_program(request: SpawnRequest) -> ProcessEnd:
    """PROGRAM on a simulated machine."""
    if len(request.argv) == 1:
        await trio.sleep(1000)
        return ProcessEnd(0, b"", b"")
    status, words = request.argv[1:]
    return ProcessEnd(int(status), words.encode(), request.env.get("WORD", "").encode())


Lines = Callable[[Path], AbstractContextManager[tuple[str, str]]]
Story = Callable[[Computer, Computer], Awaitable[None]]


class RealStand:
    """Both are this machine, on loopback, each with a home of its own."""

    real = True
    """On this machine."""

    def __init__(self, folder: Path, lines: Lines | None = None) -> None:
        self._folder = folder
        self._lines = lines or pty_pair
        self._program = folder / "program"
        self._program.write_text(PROGRAM)
        self._program.chmod(0o755)

    def run(self, story: Story, bugs: int = 0) -> None:
        """`bugs` of the story's own are expected; here they are only logged."""
        del bugs
        trio.run(self._main, story)

    async def _main(self, story: Story) -> None:
        one, two = members()
        with self._lines(self._folder) as (left, right), trio.fail_after(PATIENCE_S):
            await story(self._computer(one, "one", left), self._computer(two, "two", right))

    def _computer(self, member: Member, name: str, plug: str) -> Computer:
        home = self._folder / name
        env = real_env(home, ZeroconfDiscovery(["127.0.0.1"]))

        async def dial() -> ByteStream:
            return LocalStream(await trio.open_unix_socket(home / SOCKET_NAME))

        return Computer(env, member, "127.0.0.1", plug, str(self._program), dial)


class SimStand:
    """Two machines on one simulated network."""

    real = False

    def __init__(self, folder: Path) -> None:
        del folder

    def run(self, story: Story, bugs: int = 0) -> None:
        """So many exceptions that nobody catches are expected."""

        async def main(world: World) -> None:
            network, rack, (one, two) = Network(world), Rack(), members()
            line = SerialLine(world, "line")
            plugs = {"one": line.left, "two": line.right}
            async with rack.powered():
                machines = [
                    Machine(world, rack, _config(name, network.add_host(host)))
                    for name, host in (("one", "10.0.0.1"), ("two", "10.0.0.2"))
                ]
                for machine in machines:
                    machine.plugs["line"] = plugs[machine.name]
                with trio.fail_after(PATIENCE_S):
                    await story(_simulated(machines[0], one), _simulated(machines[1], two))

        done = run_world(1, main)
        assert len(done.findings) == bugs, done.findings


Stand = RealStand | SimStand
VIRTUAL = "/bin/virtual"


def _config(name: str, host: Host) -> MachineConfig:
    return MachineConfig(name, host, programs={VIRTUAL: virtual_program})


def _simulated(machine: Machine, member: Member) -> Computer:
    async def idle(env: Env) -> None:
        del env
        await trio.sleep_forever()

    life = machine.start(idle)

    async def dial() -> ByteStream:
        return life.control.dial()

    return Computer(life.env, member, machine.host.address, "line", VIRTUAL, dial)


def members() -> tuple[Member, Member]:
    """Two who trust each other."""
    one, two = Member("one"), Member("two")
    for each in (one, two):
        each.trusts(one, two)
    return one, two


@contextmanager
def pty_pair(folder: Path) -> Iterator[tuple[str, str]]:
    """Two serial devices joined: each is the far side of a pseudo-terminal, and a thread copies
    between the near sides, so that nothing here depends on the event loop under test."""
    del folder
    (near1, far1), (near2, far2) = pty.openpty(), pty.openpty()
    wake, waker = os.pipe()
    names = os.ttyname(far1), os.ttyname(far2)
    for fd in (far1, far2):
        tty.setraw(fd)
    pump = threading.Thread(target=copy_between, args=(near1, near2, wake))
    pump.start()
    try:
        yield names
    finally:
        os.write(waker, b"!")
        pump.join()
        for fd in (near1, far1, near2, far2, wake, waker):
            os.close(fd)


def copy_between(one: int, two: int, wake: int) -> None:
    """Copy both ways until something comes at `wake`."""
    other = {one: two, two: one}
    while True:
        readable, _, _ = select.select([one, two, wake], [], [])
        if wake in readable:
            return
        for fd in readable:
            os.write(other[fd], os.read(fd, 4096))


@contextmanager
def unix_lines(folder: Path) -> Iterator[tuple[str, str]]:
    """Two ends of one line as a serial server gives them to programs of its machine."""
    listeners = [socket.socket(socket.AF_UNIX) for _ in range(2)]
    for number, listener in enumerate(listeners):
        listener.bind(str(folder / f"line-{number}.sock"))
    with _line_server(listeners):
        yield f"unix:{folder / 'line-0.sock'}", f"unix:{folder / 'line-1.sock'}"


@contextmanager
def tcp_lines(folder: Path) -> Iterator[tuple[str, str]]:
    """As `unix_lines`, for programs of other machines."""
    del folder
    listeners = [socket.socket() for _ in range(2)]
    for listener in listeners:
        listener.bind(("127.0.0.1", 0))
    with _line_server(listeners):
        names = [f"tcp:127.0.0.1:{listener.getsockname()[1]}" for listener in listeners]
        yield names[0], names[1]


@contextmanager
def _line_server(listeners: Sequence[socket.socket]) -> Iterator[None]:
    wake, waker = os.pipe()
    for listener in listeners:
        listener.listen()
    server = threading.Thread(target=_join_users, args=(listeners, wake))
    server.start()
    try:
        yield
    finally:
        os.write(waker, b"!")
        server.join()
        for fd in (wake, waker):
            os.close(fd)


def _join_users(listeners: Sequence[socket.socket], wake: int) -> None:
    """Copy between the newest users of the two ends until something comes at `wake`; what comes
    for an end without a user is lost, as on a line whose board is off."""
    users: dict[int, socket.socket] = {}
    with ExitStack() as stack:
        for listener in listeners:
            stack.enter_context(listener)
        while True:
            readable, _, _ = select.select([wake, *listeners, *users.values()], [], [])
            if wake in readable:
                return
            senders = [end for end, user in users.items() if user in readable]
            # Asked anew: who had connected before those bytes were sent is to hear them.
            for listener in select.select(listeners, [], [], 0)[0]:
                end = listeners.index(listener)
                users[end] = stack.enter_context(listener.accept()[0])
                senders = [each for each in senders if each != end]
            for end in senders:
                data = users[end].recv(4096)
                if not data:
                    users.pop(end).close()
                elif 1 - end in users:
                    users[1 - end].sendall(data)


@asynccontextmanager
async def serving(serve: Callable[..., Awaitable[None]], handler: object) -> AsyncIterator[None]:
    """Run a port's `serve` while the context lasts."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, handler)
        yield
        nursery.cancel_scope.cancel()
