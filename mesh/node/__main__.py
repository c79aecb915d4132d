"""`python -P -m mesh.node --home DIR`: the node process. People start it through `vitte`."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import signal
import socket
import sys
from pathlib import Path

import trio

from mesh.errors import MeshError
from mesh.limits import (
    COPIES_DEFAULT,
    COPIES_MAX,
    GIB,
    LOG_BUFFER_DEFAULT_HOURS,
    LOG_BUFFER_DEFAULT_MB,
)
from mesh.node import options
from mesh.node.config import CACHE_GB, NodeConfig
from mesh.node.node import Node
from mesh.node.real_env import real_env
from mesh.ports import Discovery, Env
from mesh.ports.real.discovery import StaticDiscovery, discovery_at
from mesh.ports.real.disk import RealDisk
from mesh.ports.real.logfile import LOG_FILE, BoundedLog
from mesh.state.actions import TrustPolicy
from mesh.swim.config import PROFILES
from mesh.types import Address

logger = logging.getLogger("mesh.node")
GC_THRESHOLDS = (20_000, 20, 20)
SWITCH_INTERVAL_S = 0.0005
"""A thread that resolves steps lets the event loop in after this long. With Python's 5 ms the loop,
which gives the lock away at every system call, would serve nobody while a plan is resolved."""
DOCUMENTATION_ADDRESS = ("192.0.2.1", 9)
"""RFC 5737; a UDP socket "connected" to it sends nothing but shows the default route's address."""


def main(argv: list[str] | None = None) -> int:
    """Run one node until it is stopped. Returns the exit status."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
        handlers=[BoundedLog(arguments.home.absolute() / LOG_FILE)],
    )
    config = _config(arguments)
    # Most of what a node makes lives for one message; the default of 700 scans it all too often.
    gc.set_threshold(*GC_THRESHOLDS)
    gc.freeze()  # what is loaded by now stays
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    status = 0
    try:
        trio.run(_run, config, strict_exception_groups=True)
    except* MeshError as errors:
        status = 10
        for error in _leaves(errors):
            hint = f"; {error.next_step()}" if error.hint else ""
            text = f"{error.message()} [{error.code}]{hint}"
            logger.error("%s", text)  # noqa: TRY400 - it is for the user, not a bug
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mesh.node", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="where keys and stores are")
    parser.add_argument("--bind", metavar="HOST[:PORT]", help="address of the doors")
    parser.add_argument("--name", help="what people call this node")
    parser.add_argument("--slots", type=int, help="shards at once (default: one per core)")
    parser.add_argument("--discovery", choices=("mdns", "none"), help="default: mdns")
    parser.add_argument("--profile", choices=tuple(PROFILES), help="default: by the address")
    parser.add_argument("--sandbox", choices=("auto", "bwrap", "plain"), help="default: auto")
    parser.add_argument("--cache-gb", type=int, help="bound of the cache in GiB (default: 20)")
    parser.add_argument("--copies", type=int, help="of each result's files (default: 2)")
    parser.add_argument("--trust", metavar="own|any|K", help="whose results to take")
    parser.add_argument("--max-buffer-size-mb", type=int, help="bound of the log on this disk")
    parser.add_argument("--max-buffer-age-hours", type=int, help="how long events are kept")
    return parser


def _config(arguments: argparse.Namespace) -> NodeConfig:
    home = arguments.home.absolute()
    given = {name: getattr(arguments, name) for name in options.NAMES}
    said = options.combine(options.recall(RealDisk(home)), given)
    host, port = _host_and_port(str(said.get("bind", "")))
    if not host:
        host = _default_host()
        logger.info("no --bind given: using %s, the address of the default route", host)
    return NodeConfig(
        home=home,
        name=str(said.get("name") or socket.gethostname().split(".")[0]),
        bind=(host, port),
        slots=int(said.get("slots") or len(os.sched_getaffinity(0))),
        discovery=str(said.get("discovery", "mdns")),
        sandbox=str(said.get("sandbox", "auto")),
        profile=str(said.get("profile", "")),
        cache_bytes_max=int(said.get("cache_gb") or CACHE_GB) * GIB,
        copies=min(max(1, int(said.get("copies") or COPIES_DEFAULT)), COPIES_MAX),
        trust=_trust(str(said.get("trust", "any"))),
        max_buffer_size_mb=int(said.get("max_buffer_size_mb") or LOG_BUFFER_DEFAULT_MB),
        max_buffer_age_hours=int(said.get("max_buffer_age_hours") or LOG_BUFFER_DEFAULT_HOURS),
        compilers_env=dict(os.environ),
        said=options.encode(said),
    )


def _trust(text: str) -> TrustPolicy:
    try:
        return options.trust_policy(text)
    except ValueError:  # a file that somebody has edited: rather too little trust than too much
        logger.warning("`%s` is not own, any or a number of builders: trusting only myself", text)
        return options.trust_policy("own")


def _host_and_port(text: str) -> Address:
    """`HOST`, `HOST:PORT` (0: choose), `[IPV6]:PORT`; the command line has checked it."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    else:
        host, port = text, ""
    return host, int(port or 0)


def _default_host() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(DOCUMENTATION_ADDRESS)
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


async def _run(config: NodeConfig) -> None:
    node = Node(_env(config), config)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_stop_on_signal, node, nursery)
        await node.run()
        nursery.cancel_scope.cancel()


def _env(config: NodeConfig) -> Env:
    discovery: Discovery = (
        discovery_at(config.bind[0]) if config.discovery == "mdns" else StaticDiscovery()
    )
    return real_env(config.home, discovery)


async def _stop_on_signal(node: Node, nursery: trio.Nursery) -> None:
    """The first signal stops politely, the second at once."""
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        count = 0
        async for _ in signals:
            count += 1
            if count > 1:
                nursery.cancel_scope.cancel()
            node.stop()


def _leaves(group: BaseExceptionGroup[MeshError]) -> list[MeshError]:
    leaves: list[MeshError] = []
    for error in group.exceptions:
        leaves += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return leaves


if __name__ == "__main__":
    sys.exit(main())
