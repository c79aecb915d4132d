"""Some kinship nodes in one process, for `membership.py`; speaks as `membership_host.py` does.

Defaults of its LAN preset, encrypted, which is its default, too. kinship runs all nodes of a
process on its own threads; Python only hears of what happens. Whoever finds no seed asks again, as
an operator would: of dozens that join at once on few processors some do not.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import sys
import time
from hashlib import sha256

import kinship
from kinship import MemberDead, MemberJoined, MemberLeft, MemberRecovered, MemberSuspect

JOIN_TRIES_MAX, JOIN_PAUSE_S = 60, 0.5
KEY = base64.b64encode(sha256(b"benchmark").digest()).decode()
STATES = {
    MemberJoined: "alive",
    MemberRecovered: "alive",
    MemberSuspect: "suspect",
    MemberDead: "dead",
    MemberLeft: "dead",
}


async def run(options: argparse.Namespace) -> None:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    nodes: dict[int, kinship.Cluster] = {}
    watchers: list[asyncio.Task[None]] = []
    for at in range(options.count):
        index = options.first + at
        bind = f"{options.ip}:{options.port + at}"
        config = kinship.Config.lan(name=str(index), bind=bind, keys=[KEY], event_buffer=4096)
        nodes[index] = await kinship.Cluster(config).start()
        watchers.append(asyncio.create_task(watch(index, nodes[index])))
    say("ready")
    while line := (await reader.readline()).decode():
        word, host, port, seed = line.split()
        assert word == "join", line
        joiners = [node for index, node in nodes.items() if index != int(seed)]
        await asyncio.gather(*(join(node, f"{host}:{port}") for node in joiners))
    os._exit(0)  # closing politely would be another story, and its threads outlive Python's end


async def join(node: kinship.Cluster, seed: str) -> None:
    for _ in range(JOIN_TRIES_MAX):
        try:
            await node.join([seed])
        except kinship.JoinError as error:
            print(f"kinship: asks again: {error}", file=sys.stderr)
            await asyncio.sleep(JOIN_PAUSE_S)
        else:
            return


async def watch(observer: int, node: kinship.Cluster) -> None:
    async for event in node.events():
        state = STATES.get(type(event))
        if state is not None and event.member.name != str(observer):
            say(f"saw {time.monotonic():.6f} {observer} {event.member.name} {state}")
        elif isinstance(event, kinship.EventsLost):
            raise SystemExit("events were lost: the benchmark would be void")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name in ("first", "count", "total", "port"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--ip", required=True)
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(run(parse()))
