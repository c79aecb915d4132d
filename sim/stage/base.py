"""What a stage is: the verbs that faults use, and the questions that oracles ask.

A stage has a world (virtual time, randomness, trace), a network, and nodes by index. A node's
`life` counts its starts. Whoever listens is told of every membership change and every start.
A verb that a stage cannot do raises CannotDo; kinds say beforehand which worlds can
(`Kind.worlds`). Deliberately not here: phases and scheduling (`sim.scenario.play`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from mesh.ports import Arrived, Refused
from mesh.swim.config import SwimConfig
from mesh.swim.effects import MemberView, State
from mesh.swim.messages import Statement, prefix_of
from mesh.swim.records import Charge, Record
from mesh.types import Address, NodeId
from sim.kernel.world import World

if TYPE_CHECKING:
    from sim.stage.builds import Build


class CannotDo(Exception):
    """This stage has no such part."""


@attrs.frozen
class Change:
    """One membership change as one node saw it."""

    at_s: float
    observer: int
    subject: int
    """-1: not one of the nodes of this stage."""
    previous: State | None
    view: MemberView


@attrs.define
class Recording:
    """Datagrams on their way to some addresses, newest last."""

    datagrams: deque[tuple[bytes, Address, Address]]
    stop: Callable[[], None]


class Listener:
    """Told what happens on a stage. Oracles and recorders override what they need."""

    def changed(self, change: Change) -> None:
        """A node sees another one differently."""

    def started(self, node: int) -> None:
        """A node begins a life."""

    def ended(self, node: int, how: str) -> None:
        """A node's life ends: crash, leave, power_cut, host_down."""

    def opened(self, receiver: int, datagram: bytes, fresh: bool) -> None:
        """A node has opened a sealed datagram and believes it (fresh), or not."""

    def said(self, end: Any, message: object) -> None:
        """A node has queued a message on its end (`sim.net.end.End`) of a link that lives."""

    def heard(self, node: int, end: Any, message: object) -> None:
        """A node is handed a message that came in at its end of a link."""

    def mail_read(self, node: int, mail: Sequence[Arrived | Refused]) -> None:
        """A node has taken these off its socket."""

    def mail_handled(self, node: int, data: bytes, arrived_s: float | None) -> None:
        """Its membership is handed a datagram, and when that arrived, or what a refusal quotes
        (None)."""

    def mail_due(self, node: int, unread: int) -> None:
        """Its membership looks at its timers while so much lies unread."""

    def run_began(self, number: int, origin: int) -> None:
        """A user starts a run."""

    def run_ended(self, build: Build) -> None:
        """It has ended, somehow."""


class Stage(ABC):
    """One mesh in one world."""

    world: World
    network: Any
    """`sim.net.Network`."""
    size: int
    swim: SwimConfig
    listeners: list[Listener]

    # -- running (how a stage plays is its own: see `sim.stage.perform`) --------------------------
    @abstractmethod
    def start_all(self) -> None:
        """Start every node; all join through node 0."""

    # -- where nodes are -------------------------------------------------------------------------
    @abstractmethod
    def address(self, node: int) -> Address:
        """Where its datagrams go."""

    def place(self, node: int) -> str:
        """Its host, as `sim.net` names places."""
        return self.address(node)[0]

    # -- lives -----------------------------------------------------------------------------------
    @abstractmethod
    def is_up(self, node: int) -> bool:
        """Its process exists (it may be frozen)."""

    @abstractmethod
    def is_frozen(self, node: int) -> bool: ...

    @abstractmethod
    def life(self, node: int) -> int:
        """How often it has been started."""

    @abstractmethod
    def start(self, node: int) -> None:
        """A new life; it joins through the members it remembers, or node 0."""

    @abstractmethod
    def crash(self, node: int) -> None: ...

    @abstractmethod
    def freeze(self, node: int) -> None: ...

    @abstractmethod
    def thaw(self, node: int) -> None: ...

    @abstractmethod
    def leave(self, node: int) -> None:
        """Say goodbye and go on until crashed."""

    @abstractmethod
    def host_down(self, node: int) -> None:
        """Process and machine are gone: nothing refuses datagrams on their behalf."""

    @abstractmethod
    def starve(
        self, nodes: Sequence[int], late_min_s: float, late_max_s: float
    ) -> Callable[[], None]:
        """Every wake-up of these nodes is late by a random time; returns the undo."""

    def power_cut(self, node: int) -> None:
        raise CannotDo(f"power cut of node {node}")

    def wipe(self, node: int) -> None:
        raise CannotDo(f"wiping node {node}")

    def disk(self, node: int) -> Any:
        """`sim.disk.SimDisk`."""
        raise CannotDo(f"disk of node {node}")

    def clock_step(self, node: int, step_s: float) -> None:
        raise CannotDo(f"clock of node {node}: {step_s} s")

    def clock_drift(self, node: int, rate: float) -> None:
        raise CannotDo(f"clock of node {node}: rate {rate}")

    def serial(self, node: int) -> Any:
        """The serial line of a gateway node."""
        raise CannotDo(f"serial line of node {node}")

    # -- what nodes think ------------------------------------------------------------------------
    @abstractmethod
    def own_view(self, node: int) -> MemberView | None:
        """What it says of itself; None when it is down."""

    @abstractmethod
    def view(self, observer: int, subject: int) -> MemberView | None:
        """How one node sees another; None when it knows nothing of it, or is down."""

    @abstractmethod
    def table_hash(self, node: int) -> bytes:
        """Equal on nodes that agree."""

    @abstractmethod
    def counters(self, node: int) -> dict[str, int]:
        """What its membership counted in this life."""

    # -- lying -----------------------------------------------------------------------------------
    @abstractmethod
    def endpoint(self, node: int) -> Any:
        """Its `mesh.swim.endpoint.Endpoint`; None when it is down."""

    def prefix(self, node: int) -> bytes:
        return prefix_of(self.node_id(node))

    @abstractmethod
    def node_id(self, node: int) -> NodeId: ...

    def scheduler(self, node: int) -> Any:  # noqa: ARG002 - only whole nodes of ours have one
        """A node's `mesh.scheduler.Scheduler`; None where nobody can look into it."""
        return None

    def runtime(self, node: int) -> Any:  # noqa: ARG002 - only whole nodes of ours have one
        """A node's `mesh.node.runtime.MeshRuntime`; None where nobody can look into it."""
        return None

    def kept(self, node: int, name: str) -> bytes | None:  # noqa: ARG002 - as above
        """What a power cut would leave of a file of a node; None when there is none, or when it is
        not ours to look at."""
        return None

    def left_over(self) -> list[str]:
        """What still runs of processes that have ended, in words."""
        return []

    def shout(self, node: int, payload: bytes) -> None:
        """Send everybody a payload of somebody's choice, sealed by this node, if it runs."""
        endpoint = self.endpoint(node)
        if endpoint is None:
            return
        sealer = endpoint._sealer  # the liar's own key
        for other in range(self.size):
            data = sealer.seal(self.node_id(other), payload) if other != node else None
            if data is not None:
                self.network.send(data, self.address(node), self.address(other))

    def record(self, node: int) -> Record:
        """What it says of itself now."""
        own: Record = self.endpoint(node)._swim._facts.table.own.record
        return own

    def vote(self, node: int, victim: int, view: MemberView) -> Statement:
        """This node's own, genuine vote for the death of another."""
        voice = self.endpoint(node)._swim._facts._voice
        prefixes = self.prefix(node), self.prefix(victim)
        said: Statement = voice.say(Charge(*prefixes, view.epoch, view.incarnation, 0, True))
        return said

    # -- eavesdropping ---------------------------------------------------------------------------
    @abstractmethod
    def tap(self, heard: Callable[[bytes, Address, Address], None]) -> Callable[[], None]:
        """Hear every datagram that is sent: (data, source, destination). Returns how to stop."""

    @abstractmethod
    def watch_packets(self, sent: Callable[[Address, Address, int, float | None], None]) -> None:
        """Hear of every packet's fate: (source, destination, size, arrival or None when lost)."""

    def recording(self, destinations: Iterable[Address], keep: int) -> Recording:
        """Keep the newest datagrams to these addresses."""
        wanted = frozenset(destinations)
        kept: deque[tuple[bytes, Address, Address]] = deque(maxlen=keep)

        def heard(data: bytes, source: Address, destination: Address) -> None:
            if destination in wanted:
                kept.append((data, source, destination))

        return Recording(kept, self.tap(heard))

    # -- telling listeners -----------------------------------------------------------------------
    def tell_change(self, change: Change) -> None:
        for listener in self.listeners:
            listener.changed(change)

    def tell_start(self, node: int) -> None:
        self.world.note("start", node)
        for listener in self.listeners:
            listener.started(node)

    def tell_end(self, node: int, how: str) -> None:
        self.world.note("end", node, how)
        for listener in self.listeners:
            listener.ended(node, how)
