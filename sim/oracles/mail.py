"""Mail: what a node's socket holds is read before anybody is judged, whole, and with its own times.

An ack that came while we were starved counts as of when it came: that is what keeps a build farm
that saturates every host free of false deaths, and a run shows the deaths too rarely to rely on
them. Stages that nobody can look into have nothing to show. Deliberately not here: what the
datagrams say.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from mesh.ports import Arrived, Refused
from sim.oracles.model import LOOKS_INSIDE, Oracle, Report
from sim.scenario.model import Scenario
from sim.stage.base import Stage

SLACK_S = 1e-3


class MailRead(Oracle):
    """Timers are looked at with nothing unread; all that was read is handled, in its order, with
    the time at which the machine took it off the network."""

    name = "mail-unread"
    simulated_only = LOOKS_INSIDE

    def __init__(self, stage: Stage, scenario: Scenario, report: Report) -> None:
        super().__init__(stage, scenario, report)
        self._read: dict[int, deque[tuple[bytes, float | None]]] = {}

    def started(self, node: int) -> None:
        self._read.pop(node, None)

    def ended(self, node: int, how: str) -> None:  # noqa: ARG002 - whatever the way
        self._read.pop(node, None)

    def mail_read(self, node: int, mail: Sequence[Arrived | Refused]) -> None:
        read = self._read.setdefault(node, deque())
        if read:
            self.fail(f"node {node} has thrown {len(read)} datagrams away that it had read", node)
            read.clear()
        read.extend(_entry(each) for each in mail)

    def mail_handled(self, node: int, data: bytes, arrived_s: float | None) -> None:
        read = self._read.get(node)
        expected = read.popleft() if read else None
        if expected is None or expected[0] != data:
            self.fail(f"node {node} handles another datagram than the next it has read", node)
        elif expected[1] != arrived_s:
            text = f"node {node} takes a datagram of {expected[1]:.3f} s for one of {arrived_s:.3f}"
            self.fail(f"{text} s", node)

    def mail_due(self, node: int, unread: int) -> None:
        read = self._read.get(node)
        if unread or read:
            waits = unread + len(read or ())
            self.fail(f"node {node} judges while {waits} datagrams wait unread", node)


class TimerSet(Oracle):
    """The one timer of a node's membership is set no later than something is due."""

    name = "timer-late"
    simulated_only = LOOKS_INSIDE

    def sampled(self) -> None:
        for node in range(self.stage.size):
            runtime = self.stage.runtime(node)
            endpoint = self.stage.endpoint(node) if runtime is not None else None
            if endpoint is None or self.stage.is_frozen(node):
                continue
            gossip = runtime.gossip
            due_s = endpoint._swim._due.find_s()
            set_s = gossip._timer_s if gossip._timer is not None else float("inf")
            if due_s is not None and set_s > due_s + SLACK_S:
                late_s = set_s - due_s
                self.fail(f"node {node} sleeps {late_s:.3f} s longer than it may", node)


def _entry(mail: Arrived | Refused) -> tuple[bytes, float | None]:
    if isinstance(mail, Arrived):
        return mail.data, mail.arrived_s
    return mail.quoted, None
