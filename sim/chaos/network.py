"""The verbs for faults of the network, for both carriers: the simulated network's, over its rules.

    network.cut(a, b).undo()      as `sim.net.network.Network`

A verb changes `sim.net.roads`; the carrier is told that they changed and looks at them: the switch
at each frame, the kernel's bridge all at once. One lock is held by whoever changes rules or carries
frames. Verbs that only a switch can do raise CannotDo without one; `kinds` says so beforehand.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from mesh.types import Address
from sim.chaos.switch import Port, Switch, Tap
from sim.kernel.world import World
from sim.net.link import Link
from sim.net.roads import ALL, Place, Roads, Rule, across, between, host_of, touching
from sim.net.roads import ANY as ANYBODY
from sim.stage.base import CannotDo
from sim.undo import Fault


class ChaosNetwork:
    """See the module's head."""

    def __init__(self, world: World, link: Link, ports: Sequence[Port]) -> None:
        self.lock = threading.RLock()
        self.on_change: list[Callable[[], None]] = []
        """Called with the lock held whenever a rule came or went, or something is to be written."""
        self.taps: list[Tap] = []
        """Called with (data, source, destination) for every datagram sent."""
        self.roads = Roads(link, self._changed)
        self.switch = Switch(ports, self.roads, world.rng("network").random)
        self.switch.taps.append(self._heard)

    def _changed(self) -> None:
        for tell in self.on_change:
            tell()

    def _heard(self, data: bytes, source: Address, destination: Address) -> None:
        for tap in list(self.taps):
            tap(data, source, destination)

    def _lay(self, rule: Rule) -> Fault:
        """Lay a rule, and take it away again, under the lock."""
        with self.lock:
            fault = self.roads.add(rule)

        def undo() -> None:
            with self.lock:
                fault.undo()
                self._changed()

        return Fault(undo)

    # -- links -----------------------------------------------------------------------------------
    def degrade(self, source: Place, destination: Place, **changes: Any) -> Fault:
        return self._lay(Rule(between(source, destination), changes))

    def cut(self, source: Place, destination: Place, traffic: int = ALL) -> Fault:
        return self._lay(Rule(between(source, destination), blocks=traffic))

    def partition(self, groups: Sequence[Iterable[Place]], traffic: int = ALL) -> Fault:
        return self._lay(Rule(across(groups), blocks=traffic))

    def isolate(self, place: Place, traffic: int = ALL) -> Fault:
        return self._lay(Rule(touching(place), blocks=traffic))

    def clog(self, source: Place, destination: Place) -> Fault:
        return self._lay(Rule(between(source, destination), clogs=True))

    # -- hosts and streams -----------------------------------------------------------------------
    def silence_refusals(self, place: Place) -> Fault:
        return self._set("silence-refusals", place)

    def refuse_streams(self, place: Place) -> Fault:
        return self._set("refuse-streams", place)

    def stall_handshakes(self, place: Place) -> Fault:
        return self._set("stall-handshakes", place)

    def _set(self, name: str, place: Place) -> Fault:
        return self._lay(Rule(between(ANYBODY, place), setting=name, value=1.0))

    def reset_streams(self, one: Place, other: Place) -> int:
        """End all connections between the two for both ends."""
        with self.lock:
            found = [
                flow for flow in self.switch.flows.touching(host_of(one)) if _joins(flow, other)
            ]
            for flow in found:
                self.switch.reset(flow)
            self._changed()
        return len(found)

    def reset_streams_after(self, one: Place, other: Place, size_bytes: int) -> Fault:
        """Those that exist now break when they have carried so many more bytes."""
        with self.lock:
            found = [
                flow for flow in self.switch.flows.touching(host_of(one)) if _joins(flow, other)
            ]
            for flow in found:
                flow.left_bytes = size_bytes

        def undo() -> None:
            for flow in found:
                flow.left_bytes = None

        return Fault(undo)

    def power(self, host: str, *, on: bool) -> None:
        """A host without power answers nothing, not even who has its address."""
        with self.lock:
            (self.switch.unpowered.discard if on else self.switch.unpowered.add)(host)
            self._changed()

    # -- attackers -------------------------------------------------------------------------------
    def deliver(self, data: bytes, source: Address, destination: Address) -> None:
        with self.lock:
            self.switch.inject_datagram(data, source, destination)
            self._changed()

    def forge_refusal(self, to: Address, claims: Address, quoted: bytes) -> int:
        with self.lock:
            self.switch.inject_refusal(to, claims, quoted)
            self._changed()
        return 1

    def __getattr__(self, name: str) -> Any:
        raise CannotDo(f"network: {name}")


def _joins(flow: Any, other: Place) -> bool:
    host = host_of(other)
    return host == ANYBODY or host in (flow.dialler[0], flow.listener[0])
