"""Some whole nodes of ours in one process, for `membership.py`: `mesh.node.node.Node` with all its
parts and ports, several to a process. Speaks as `membership_host.py` does.

Beside their datagrams, whole nodes keep a TLS link to every other member, whose end is the first
sign of a killed process; that is what this host is for. The mesh is founded and all are admitted
beforehand (`sim.members`), so `join` is to start the nodes: their stores, doors, gossip and links.
Only the search for neighbours by multicast is left out. A node has two doors, so node number i
listens on port + 2 (i - first).
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import trio

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from membership_host import LineReader, parse, say, word_for

from mesh.node.config import NodeConfig
from mesh.node.gossip import Gossip
from mesh.node.node import Node
from mesh.node.real_env import real_env
from mesh.ports.real.discovery import StaticDiscovery
from mesh.ports.real.disk import RealDisk
from mesh.swim.effects import MemberChanged
from sim.members import found

CACHE_BYTES_MAX = 1 << 26
SEED = 0


class WholeNodes:
    """The nodes of this process."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self._options = options
        self._folder = folder
        self._founded = found(options.total)
        self._number = {member.node_id: member.index for member in self._founded.members}

    async def run(self) -> None:
        options = self._options
        async with trio.open_nursery() as nursery:
            ours = dict(enumerate(range(options.first, options.first + options.count)))
            if options.first == SEED:
                nursery.start_soon(self._make(SEED, options.port).run)
            say("ready")
            async for line in LineReader():
                word, host, port, seed = line.split()
                assert (word, int(seed)) == ("join", SEED), line
                for at, index in ours.items():
                    if index != SEED:
                        node = self._make(index, options.port + 2 * at, (host, int(port)))
                        nursery.start_soon(node.run)
            os._exit(0)

    def _make(self, index: int, port: int, seed: tuple[str, int] = ("", 0)) -> Node:
        home = self._folder / str(index)
        self._founded.install(index, RealDisk(home), seed)
        config = NodeConfig(
            home=home,
            name=f"node{index}",
            bind=(self._options.ip, port),
            discovery="none",
            cache_bytes_max=CACHE_BYTES_MAX,
        )
        return Node(real_env(home, StaticDiscovery()), config)

    def watch(self) -> None:
        """Hear of every membership change of every node, when the node does."""
        inner, number = Gossip._changed, self._number

        def changed(gossip: Gossip, change: MemberChanged) -> None:
            observer = number[gossip._identity.node_id]
            view = change.view
            seen = f"{observer} {number[view.node_id]} {word_for(view)}"
            say(f"saw {time.monotonic():.6f} {seen}")
            inner(gossip, change)

        Gossip._changed = changed  # type: ignore[method-assign]


def main() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory(prefix="vitte-bench-") as directory:
        nodes = WholeNodes(parse(), Path(directory))
        nodes.watch()
        trio.run(nodes.run)


if __name__ == "__main__":
    main()
