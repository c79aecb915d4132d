"""Finding each other: mDNS on the network segment of all hosts, and `mesh.ports.Discovery` over it.

Rules, after RFC 6762 as zeroconf does it
- Announcing says it at once and again a second later; ending says goodbye.
- Browsing asks at once and after 1, 2, 4 ... s, up to an hour apart, and says what it knows.
  Whoever is not among that answers to everybody after 20 to 120 ms, at most once a second.
- Each host that hears remembers for 75 minutes; a browser is told of what is new or has changed.
- Every message is lost or cut on the road to each host for itself, the sender's too; it reaches all
  that have the same kind of link at the same time.

Deliberately not here: names, records and caches of real DNS-SD.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from math import inf
from typing import TYPE_CHECKING

import trio

from mesh.limits import DISCOVERY_QUEUE_MAX
from mesh.ports import Announcement
from sim.net.link import Link
from sim.net.roads import MULTICAST

if TYPE_CHECKING:
    from collections.abc import Callable

    from sim.net.host import Host
    from sim.net.network import Network
    from sim.net.sockets import Sockets

REPEAT_S = 1.0
QUERY_EVERY_MAX_S = 3600.0
ANSWER_LOW_S, ANSWER_HIGH_S = 0.020, 0.120
REMEMBER_S = 4500.0


class Multicast:
    """Carries what one host says to all that listen."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.random = network.world.rng("multicast").random
        self.listening: list[SimDiscovery] = []

    def say(self, host: Host, hear: Callable[[SimDiscovery], None]) -> None:
        """Have every listener `hear`, or not, as its road has it."""
        world = self._network.world
        world.note("multicast", host.address)
        reached: dict[int, tuple[Link, list[SimDiscovery]]] = {}
        for listener in self.listening:
            road = self._network.road(host.address, listener.host.address)
            link = road.link
            if road.blocked & MULTICAST:
                self._network.counters["multicast-cut"] += 1
            elif link.loss and self.random() < link.loss:
                self._network.counters["multicast-lost"] += 1
            else:
                reached.setdefault(id(link), (link, []))[1].append(listener)
        for link, listeners in reached.values():
            world.after(link.delay_s(self.random), partial(_all_hear, listeners, hear))


def _all_hear(listeners: list[SimDiscovery], hear: Callable[[SimDiscovery], None]) -> None:
    for listener in listeners:
        hear(listener)


class SimDiscovery:
    """See `mesh.ports.Discovery`."""

    def __init__(self, sockets: Sockets) -> None:
        self.host = sockets.host
        self._cpu = sockets.cpu
        self._network = sockets.host.network
        self._multicast = sockets.host.network.multicast
        self._world = sockets.host.network.world
        self._announced: dict[Announcement, float] = {}
        """With the times at which each was last said."""
        self._browsers: list[trio.MemorySendChannel[Announcement]] = []
        self._known: dict[tuple[str, str], tuple[Announcement, float]] = {}
        self._open = True

    @asynccontextmanager
    async def announce(self, what: Announcement) -> AsyncIterator[None]:
        await trio.lowlevel.checkpoint()
        self._announced[what] = -inf
        self._attend()
        self._say(what)
        self._world.after(REPEAT_S, partial(self._say, what))
        try:
            yield
        finally:
            if self._open:
                del self._announced[what]
                self._attend()
                self._multicast.say(self.host, lambda each: each.forget(what))

    @asynccontextmanager
    async def browse(self) -> AsyncIterator[AsyncIterator[Announcement]]:
        await trio.lowlevel.checkpoint()
        sender, receiver = trio.open_memory_channel[Announcement](DISCOVERY_QUEUE_MAX)
        self._browsers.append(sender)
        self._attend()
        for announcement, until_s in list(self._known.values()):
            if until_s > self._world.now_s:
                sender.send_nowait(announcement)
        self._ask(sender, REPEAT_S)
        try:
            async with sender, receiver:
                yield receiver
        finally:
            if self._open:
                self._browsers.remove(sender)
                self._attend()

    def close_all(self) -> None:
        """The process has ended, without a goodbye."""
        self._open = False
        self._announced.clear()
        self._browsers.clear()
        self._attend()

    # -- heard from the network ------------------------------------------------------------------
    def asked(self, known: frozenset[Announcement]) -> None:
        """Somebody browses: answer a little later, so that not all speak at once."""
        for what in self._announced:
            if what in known:
                continue
            spread_s = ANSWER_HIGH_S - ANSWER_LOW_S
            wait_s = ANSWER_LOW_S + spread_s * self._multicast.random()
            self._world.after(wait_s, partial(self._say, what))

    def learn(self, what: Announcement) -> None:
        """Somebody, ourselves perhaps, announces itself."""
        now_s = self._world.now_s
        known, until_s = self._known.get(_name(what), (None, 0.0))
        self._known[_name(what)] = (what, now_s + REMEMBER_S)
        news = known is not what and known != what
        if (news or until_s <= now_s) and self._browsers:
            self._cpu.soon(partial(self._tell, what))

    def forget(self, what: Announcement) -> None:
        """Somebody said goodbye; what it said of itself meanwhile stays."""
        known, _ = self._known.get(_name(what), (None, 0.0))
        if known == what:
            del self._known[_name(what)]

    # -- inside ----------------------------------------------------------------------------------
    def _attend(self) -> None:
        """Be on the segment while we announce or browse."""
        listening = self in self._multicast.listening
        wanted = bool(self._announced or self._browsers)
        if wanted and not listening:
            self._multicast.listening.append(self)
        elif listening and not wanted:
            self._multicast.listening.remove(self)
            self._known.clear()

    def _say(self, what: Announcement) -> None:
        now_s = self._world.now_s
        if self._announced.get(what, inf) <= now_s - REPEAT_S:
            self._announced[what] = now_s
            self._multicast.say(self.host, lambda each: each.learn(what))

    def _ask(self, browser: trio.MemorySendChannel[Announcement], next_s: float) -> None:
        if browser in self._browsers:
            known = self._fresh()
            self._multicast.say(self.host, lambda each: each.asked(known))
            later_s = min(2 * next_s, QUERY_EVERY_MAX_S)
            self._world.after(next_s, lambda: self._ask(browser, later_s))

    def _fresh(self) -> frozenset[Announcement]:
        """What we have heard, and need not hear again for half of the time that we remember."""
        enough_s = self._world.now_s + REMEMBER_S / 2
        return frozenset(what for what, until_s in self._known.values() if until_s > enough_s)

    def _tell(self, what: Announcement) -> None:
        for browser in self._browsers:
            try:
                browser.send_nowait(what)
            except trio.WouldBlock:
                self._network.counters["discovery-queue-full"] += 1


def _name(what: Announcement) -> tuple[str, str]:
    return what.name, what.node_prefix
