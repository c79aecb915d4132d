"""Some of our nodes in one process, for `membership.py`: the production membership driver
(`mesh.node.gossip.Gossip`) with real sockets, real seals and real signatures, several to a process
as the rivals are run. Not here: streams, stores and slots, so a node's memory is not measured.

    membership_host.py --first 0 --count 31 --total 40 --ip 10.77.0.1 --port 10000

All systems' hosts speak the same lines:

    <- ready                                    all sockets are open
    -> join 10.77.0.1 10000 0                   join through that node, all at once
    <- saw 1234.567890 OBSERVER SUBJECT STATE   CLOCK_MONOTONIC seconds; alive, suspect or dead
    -> end of input                             end without a word to anybody

Node number i listens on port + (i - first) of its host's address, for the seed's as well.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from functools import partial
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import trio

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mesh.node.epoch import next_epoch
from mesh.node.gossip import Gossip, GossipSetup
from mesh.ports import Env
from mesh.ports.real.clock import RealClock
from mesh.ports.real.datagrams import RealDatagrams
from mesh.ports.real.disk import RealDisk
from mesh.ports.real.entropy import RealEntropy
from mesh.ports.real.exec import RealExec
from mesh.swim.config import LAN
from mesh.swim.effects import MemberView, State
from mesh.types import NodeId
from sim.signatures import RealSignatures
from sim.swim_world import node_key

WORDS = {State.UNREACHABLE: "unreachable", State.LEFT: "dead"}


class Member(RealSignatures):
    """Who node `index` is: a key that depends on its number only, and `total` admitted members."""

    def __init__(self, index: int, ids: list[NodeId]) -> None:
        super().__init__(sha256(f"simulated node {index}".encode()).digest())
        self.node_id, self._curve_private = node_key(index)
        self._ids = ids

    def curve_private(self) -> bytes:
        return self._curve_private

    def member_ids(self) -> list[NodeId]:
        return self._ids


def an_env(home: Path) -> Env:
    """The real ports that membership uses."""
    ports = SimpleNamespace(
        clock=RealClock(),
        entropy=RealEntropy(),
        datagrams=RealDatagrams(),
        disk=RealDisk(home),
        exec=RealExec(),
    )
    return cast("Env", cast("Any", ports))


class Crowd:
    """The nodes of this process."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self._options = options
        self._folder = folder
        self._ids = [node_key(index)[0] for index in range(options.total)]
        self._number = {node: index for index, node in enumerate(self._ids)}
        self._nodes: dict[int, Gossip] = {}
        self._clock = RealClock()

    async def run(self) -> None:
        options = self._options
        async with trio.open_nursery() as nursery:
            for at in range(options.count):
                gossip = self._make(options.first + at, options.port + at)
                await nursery.start(gossip.run)
            say("ready")
            async for line in LineReader():
                word, *rest = line.split()
                assert word == "join", line
                self._join(rest[0], int(rest[1]), int(rest[2]))
            os._exit(0)  # as the lines say: without a word to anybody

    def _make(self, index: int, port: int) -> Gossip:
        env = an_env(self._folder / str(index))
        setup = GossipSetup(
            bind=(self._options.ip, port),
            peer_port=port,
            join_port=port,
            epoch=next_epoch(env.disk, env.clock, env.entropy),
        )
        member = Member(index, self._ids)
        gossip = Gossip(env, LAN, member, setup, partial(self._changed, index))
        self._nodes[index] = gossip
        return gossip

    def _join(self, host: str, port: int, seed: int) -> None:
        for index, gossip in self._nodes.items():
            if index != seed:
                gossip.join([(self._ids[seed], (host, port))])

    def _changed(self, observer: int, view: MemberView) -> None:
        now_s = self._clock.monotonic()
        say(f"saw {now_s:.6f} {observer} {self._number[view.node_id]} {word_for(view)}")


def word_for(view: MemberView) -> str:
    return WORDS.get(view.state, view.state.name.lower())


class LineReader:
    """The lines of our standard input, without blocking the nodes."""

    def __init__(self) -> None:
        self._stream = trio.lowlevel.FdStream(0)
        self._buffer = bytearray()

    def __aiter__(self) -> LineReader:
        return self

    async def __anext__(self) -> str:
        while b"\n" not in self._buffer:
            data = await self._stream.receive_some(4096)
            if not data:
                raise StopAsyncIteration
            self._buffer += data
        line, _, rest = bytes(self._buffer).partition(b"\n")
        self._buffer = bytearray(rest)
        return line.decode()


def say(line: str) -> None:
    """Blocks when nobody reads: the conductor always does."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name in ("first", "count", "total", "port"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--ip", required=True)
    return parser.parse_args()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="vitte-bench-") as directory:
        trio.run(Crowd(parse(), Path(directory)).run)
