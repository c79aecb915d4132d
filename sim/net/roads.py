"""Which link two hosts have now: a base, and the faults laid over it.

A rule matches directed pairs of hosts and says one thing about them. Rules stack: of two that shape
a link the later wins field by field, a wall stands as long as any of them does, and of two settings
the newest counts. What rules say about a pair is worked out once and kept until a rule changes, so
that carrying a packet costs one look-up, and none at all while there are no rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs

from mesh.types import Address
from sim.net.cable import Cable
from sim.net.link import Link
from sim.undo import Fault

ANY = "*"
DATAGRAMS, STREAMS, MULTICAST = 1, 2, 4
ALL = DATAGRAMS | STREAMS | MULTICAST
LOOPBACK = Link(latency_s=0.00002, jitter_s=0.0)
"""From a host to itself; no fault of the network is on that way."""

Place = str | Address
Matcher = Callable[[str, str], bool]
"""(source host, destination host) -> whether a rule is about them."""


def host_of(place: Place) -> str:
    return place if isinstance(place, str) else place[0]


def between(source: Place, destination: Place) -> Matcher:
    """Matches that direction; ANY is everybody."""
    wanted, target = host_of(source), host_of(destination)
    return lambda one, other: wanted in (ANY, one) and target in (ANY, other)


def touching(place: Place) -> Matcher:
    """Matches everything to and from a place."""
    host = host_of(place)
    return lambda one, other: host in (ANY, one, other)


def across(groups: Sequence[Iterable[Place]]) -> Matcher:
    """Matches pairs of different groups; hosts in no group form one more."""
    number = {host_of(place): index for index, group in enumerate(groups) for place in group}
    return lambda one, other: number.get(one, -1) != number.get(other, -1)


@attrs.frozen(eq=False)
class Rule:
    """One thing said about the pairs that match."""

    matches: Matcher
    changes: dict[str, Any] = attrs.field(factory=dict)
    """Fields of `Link`."""
    blocks: int = 0
    """Kinds of traffic."""
    setting: str = ""
    value: float = 0.0
    cable: Cable = attrs.field(factory=Cable)
    """Shared by all pairs, when the rule gives a bandwidth, bursts or a clog."""
    clogs: bool = False


@attrs.define(eq=False)
class Road:
    """The present state of one directed pair of hosts."""

    link: Link
    blocked: int
    cable: Cable | None
    settings: dict[str, float]
    quick: bool = attrs.field(init=False)
    """Nothing can happen to a datagram; asked for each."""

    @quick.default
    def _is_quick(self) -> bool:
        return self.link.quick and not self.blocked and self.cable is None


class Roads:
    """All of them. `on_change` is called whenever a rule came or went."""

    def __init__(self, link: Link, on_change: Callable[[], None]) -> None:
        self._link = link
        self._rules: list[tuple[Rule, Fault]] = []
        self._known: dict[tuple[str, str], Road] = {}
        self._cables: dict[tuple[str, str], Cable] = {}
        self._on_change = on_change
        self._loopback = Road(LOOPBACK, 0, None, {})
        self._open = Road(link, 0, None, {})
        self.calm = not link.stateful
        """All roads are the same."""

    @property
    def link(self) -> Link:
        """The base: the link between any two hosts about which no rule says otherwise."""
        return self._link

    @link.setter
    def link(self, link: Link) -> None:
        self._link = link
        self._open = Road(link, 0, None, {})
        self._changed()

    def road(self, source: str, destination: str) -> Road:
        if source == destination:
            return self._loopback
        if self.calm:
            return self._open
        pair = (source, destination)
        road = self._known.get(pair)
        if road is None:
            road = self._known[pair] = self._survey(source, destination)
        return road

    def add(self, rule: Rule) -> Fault:
        """Lay a rule over everything; the fault takes it away."""

        def remove() -> None:
            self._rules.remove(entry)
            self._changed()
            if rule.clogs:
                rule.cable.unclog()

        fault = Fault(remove)
        entry = (rule, fault)
        self._rules.append(entry)
        rule.cable.clogs += rule.clogs
        self._changed()
        return fault

    def clear(self) -> None:
        """Take all rules away."""
        for _, fault in list(self._rules):
            fault.undo()

    def _changed(self) -> None:
        self._known.clear()
        self.calm = not self._rules and not self._link.stateful
        self._on_change()

    def _survey(self, source: str, destination: str) -> Road:
        rules = [rule for rule, _ in self._rules if rule.matches(source, destination)]
        if not rules and not self._link.stateful:
            return self._open
        link, blocked, settings = self._link, 0, dict[str, float]()
        cable = self._cable(source, destination) if link.stateful else None
        for rule in rules:
            blocked |= rule.blocks
            if rule.changes:
                link = attrs.evolve(link, **rule.changes)
            if rule.clogs or {"bandwidth_bytes_per_s", "burst"} & rule.changes.keys():
                cable = rule.cable
            if rule.setting:
                settings[rule.setting] = rule.value
        return Road(link, blocked, cable, settings)

    def _cable(self, source: str, destination: str) -> Cable:
        return self._cables.setdefault((source, destination), Cable())
