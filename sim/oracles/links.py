"""Links between whole nodes: one per pair, sound at both ends, and saying what was said.

An oracle sees both ends of every connection, which no node does. Stages that nobody can look into
have nothing to show. Deliberately not here: what the messages mean.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from sim.net.roads import host_of
from sim.oracles.model import LOOKS_INSIDE, Oracle, Report
from sim.scenario.model import Scenario
from sim.stage.base import Stage

SOUND_S = 10.0
"""Within so long before the end of the settling each pair must have been linked: a link that ends
just then may be on its way back."""
ORPHANED_S = 25.0
"""A connection that nobody uses is gone by then: who has vanished without a word is found out by
keepalives after 20 s."""
SAMPLE_S = 1.0
"""Samples are so far apart."""
BLAMES = ("link.bad-input.", "link.bug")
"""Counters that say a peer has sent what is no message."""


class Linked(Oracle):
    """After the heal every two nodes have one link, and both have the same one, open at both
    ends."""

    name = "unlinked"
    simulated_only = LOOKS_INSIDE

    def __init__(self, stage: Stage, scenario: Scenario, report: Report) -> None:
        super().__init__(stage, scenario, report)
        self._sound_s: dict[tuple[int, int], float] = {}

    def sampled(self) -> None:
        if self.stage.world.now_s < self.scenario.phases.canary_at_s - SOUND_S:
            return  # it is asked about the end only, and pairs are many
        for one in range(self.stage.size):
            for other in range(one):
                if self._is_sound(one, other):
                    self._sound_s[one, other] = self.stage.world.now_s

    def _is_sound(self, one: int, other: int) -> bool:
        ends = self._end(one, other), self._end(other, one)
        if None in ends or ends[0].other is not ends[1]:
            return False
        return all(not end.over and not end.ended for end in ends)

    def _end(self, node: int, peer: int) -> Any:
        """Of the link that `node` has to `peer`; None when there is none."""
        runtime = self.stage.runtime(node)
        link = runtime.links.by_node.get(self.stage.node_id(peer)) if runtime is not None else None
        return _end_of(link) if link is not None and link.alive else None

    def settled(self, core: tuple[int, ...]) -> None:
        since_s = self.stage.world.now_s - SOUND_S
        for one in core:
            for other in core:
                if other >= one or self._is_excused(one, other):
                    continue
                if self._sound_s.get((one, other), -1.0) < since_s:
                    text = f"{SOUND_S:g} s and longer nodes {other} and {one} have had no link"
                    self.fail(f"{text} that is open at both ends", other, one)

    def _is_excused(self, one: int, other: int) -> bool:
        """A member that comes and goes is left alone for a while (`mesh.swim.flapping`)."""
        if self.stage.runtime(one) is None:
            return True
        views = self.stage.view(one, other), self.stage.view(other, one)
        return any(view is not None and view.unstable for view in views)


class NothingPiled(Oracle):
    """Connections that neither end uses any more are closed."""

    name = "streams-piled"
    simulated_only = LOOKS_INSIDE

    def __init__(self, stage: Stage, scenario: Scenario, report: Report) -> None:
        super().__init__(stage, scenario, report)
        self._orphans: dict[Any, float] = {}
        """Connection -> since when nobody uses it."""

    def sampled(self) -> None:
        since_s = self.scenario.phases.canary_at_s - ORPHANED_S - SAMPLE_S
        if self.scenario.world != "mesh" or self.stage.world.now_s < since_s:
            return
        used = {end for node in range(self.stage.size) for end in self._used(node)}
        idle = [each for each in self._open() if not used.intersection(each.ends)]
        now_s = self.stage.world.now_s
        self._orphans = {each: self._orphans.get(each, now_s) for each in idle}

    def _open(self) -> list[Any]:
        connections = self.stage.network.connections.living()
        return [each for each in connections if not all(end.vanished for end in each.ends)]

    def _used(self, node: int) -> Iterator[Any]:
        """The ends of a node's links, and of the bulk streams that it keeps for later."""
        runtime = self.stage.runtime(node)
        if runtime is None:
            return
        for link in runtime.links.by_node.values():
            yield _end_of(link)
        for pool in runtime.blobs._streams._pools.values():
            for bulk in pool.idle:
                yield bulk.stream.end

    def settled(self, core: tuple[int, ...]) -> None:
        places = {host_of(self.stage.place(node)): node for node in core}
        long_ago_s = self.stage.world.now_s - ORPHANED_S
        for connection, since_s in self._orphans.items():
            near, far = connection.hosts()
            if since_s <= long_ago_s and near in places and far in places:
                nodes = places[near], places[far]
                text = f"a connection of nodes {nodes[0]} and {nodes[1]} is open, and nobody has"
                self.fail(f"{text} used it for {ORPHANED_S:g} s", *nodes)
                return


class Faithful(Oracle):
    """What a link hands over is what was queued at its other end, in that order, with nothing left
    out; and no honest node is blamed for anything else."""

    name = "garbled"
    simulated_only = LOOKS_INSIDE

    def __init__(self, stage: Stage, scenario: Scenario, report: Report) -> None:
        super().__init__(stage, scenario, report)
        self._said: dict[Any, deque[object]] = {}
        """End -> what was queued there and has not come out at the other."""
        self._blamed: set[tuple[int, int]] = set()

    def said(self, end: Any, message: object) -> None:
        self._said.setdefault(end, deque()).append(message)

    def heard(self, node: int, end: Any, message: object) -> None:
        said = self._said.get(end.other)
        expected = said.popleft() if said else None
        if expected != message:
            wanted = type(expected).__name__ if expected is not None else "nothing"
            self.fail(f"node {node} hears {type(message).__name__} where {wanted} was said", node)

    def sampled(self) -> None:
        for node in range(self.stage.size):
            runtime = self.stage.runtime(node)
            if runtime is None or (node, self.stage.life(node)) in self._blamed:
                continue
            for reason in sorted(runtime.links.counters.snapshot()):
                if reason.startswith(BLAMES):
                    self._blamed.add((node, self.stage.life(node)))
                    self.fail(f"node {node} takes what a member sends for no message: {reason}")


def _end_of(link: Any) -> Any:
    """The `sim.net.end.End` of a node's link."""
    return link._parts.stream.end
