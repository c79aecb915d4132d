"""One whole node in a process of its own, for `blobs.py`: a holder of one blob.

    python blob_host.py --index I --total N --folder F --size BYTES --rate BYTES_PER_S

says `ready PORT` once it has a blob of that size, whose content `content(size)` makes, and serves
it to the members of a mesh that is founded beforehand (`sim.members`), at that rate at most (0: as
fast as it can). It ends with its standard input.
"""

from __future__ import annotations

import argparse
import functools
import sys
from pathlib import Path
from random import Random

import trio

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mesh.limits import GIB, MIB
from mesh.node import runtime
from mesh.node.config import LinkConfig, NodeConfig
from mesh.node.node import Node
from mesh.node.real_env import real_env
from mesh.ports.real.discovery import StaticDiscovery
from mesh.ports.real.disk import RealDisk
from sim.members import found


def content(size_bytes: int) -> bytes:
    """The same everywhere, no piece like another."""
    random = Random(size_bytes)
    pieces = [random.randbytes(min(MIB, size_bytes - at)) for at in range(0, size_bytes, MIB)]
    return b"".join(pieces)


def make_node(index: int, total: int, folder: Path) -> Node:
    """Member `index` of the mesh, on a free port of the loopback address."""
    found(total).install(index, RealDisk(folder), ("", 0))
    config = NodeConfig(
        home=folder,
        name=f"node{index}",
        bind=("127.0.0.1", 0),
        discovery="none",
        cache_bytes_max=8 * GIB,
    )
    return Node(real_env(folder, StaticDiscovery()), config)


async def serve(options: argparse.Namespace) -> None:
    node = make_node(options.index, options.total, options.folder)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.run)
        while not node.came_up:  # noqa: ASYNC110 - it tells nobody
            await trio.sleep(0.01)
        blob = node.workshop.store.put(content(options.size))
        await trio.to_thread.run_sync(node.workshop.store.manifest_of, blob)
        print(f"ready {node.runtime.doors.port} {blob.hex()}", flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)
        nursery.cancel_scope.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--index", type=int, required=True)
    parser.add_argument("--total", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--rate", type=int, default=0)
    options = parser.parse_args()
    limited = functools.partial(LinkConfig, serve_bytes_per_s=options.rate)
    runtime.LinkConfig = limited  # type: ignore[misc, assignment]
    trio.run(serve, options)


if __name__ == "__main__":
    main()
