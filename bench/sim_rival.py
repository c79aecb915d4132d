"""One run of the ping workload in a rival simulator; `sim_speed.py` runs it in a venv of its own.

    sim_rival.py simloop|simloom tasks|callbacks NODES SECONDS

Every node pings a random other one once per virtual second, who answers; 1 to 3 ms under way, 2 %
lost. Prints {"cpu_s": ..., "pings": ..., "answers": ...}. Needs nothing but the simulator.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

LATENCY_S = (0.001, 0.003)
LOSS_PERCENT = 2
PORT = 7000
PING, ANSWER = b"p" * 64, b"a" * 64
counts = {"pings": 0, "answers": 0}
Name = Callable[[int], str]


class Answerer(asyncio.DatagramProtocol):
    """Answers pings, counts answers."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if data == PING:
            self.transport.sendto(ANSWER, addr)
        else:
            counts["answers"] += 1


async def node(me: int, nodes: int, seconds: float, style: str, name: Name) -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Answerer, local_addr=(name(me), PORT))
    draw = random.Random(me)

    def ping() -> None:
        other = (me + 1 + int(draw.random() * (nodes - 1))) % nodes
        transport.sendto(PING, (name(other), PORT))
        counts["pings"] += 1

    async def by_task() -> None:
        await asyncio.sleep(draw.random())
        while loop.time() < seconds:
            ping()
            await asyncio.sleep(1.0)

    def by_callback() -> None:
        if loop.time() < seconds:
            ping()
            loop.call_later(1.0, by_callback)

    if style == "tasks":
        await by_task()
    else:
        loop.call_later(draw.random(), by_callback)
        await asyncio.sleep(seconds)


def simloop(nodes: int, seconds: float, style: str) -> None:
    from simloop import SimLoop

    async def story() -> None:
        loop: Any = asyncio.get_running_loop()
        loop.net.set_defaults(latency=LATENCY_S, drop=LOSS_PERCENT / 100)
        hosts = [loop.net.host(f"n{index}") for index in range(nodes)]
        await everybody(
            host.create_task(node(index, nodes, seconds, style, "n{}".format))
            for index, host in enumerate(hosts)
        )

    loop = SimLoop(1)
    loop.run_until_complete(story())
    loop.close()


def simloom(nodes: int, seconds: float, style: str) -> None:
    import simloom as rival

    async def story(world: Any) -> None:
        world.net.set_latency(*LATENCY_S)
        world.net.set_datagram_loss(LOSS_PERCENT)
        await everybody(
            world.host(f"n{index}").spawn(
                lambda index=index: node(index, nodes, seconds, style, address)
            )
            for index in range(nodes)
        )

    rival.run(story, seed=1)


def address(index: int) -> str:
    return f"10.1.{index >> 8}.{index & 255}"


async def everybody(tasks: Any) -> None:
    started: list[Awaitable[None]] = list(tasks)
    await asyncio.gather(*started)


def main() -> None:
    which, style, nodes, seconds = sys.argv[1:]
    run = {"simloop": simloop, "simloom": simloom}[which]
    began_s = time.process_time()
    run(int(nodes), float(seconds), style)
    print(json.dumps({"cpu_s": time.process_time() - began_s, **counts}))


if __name__ == "__main__":
    main()
