"""Safety of the wire: nodes believe only what a member sent them, once, and nobody can read it.

These oracles hear every datagram as an eavesdropper does, and are told which of them a node opened
and believed. Deliberately not here: what the datagrams say (`membership`).
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b

from mesh.limits import DATAGRAM_BYTES_MAX
from mesh.types import Address
from mesh.wire.errors import WireError
from mesh.wire.schema import decode_message
from sim.oracles.model import LOOKS_INSIDE, Oracle, Report
from sim.scenario.model import Scenario
from sim.stage.base import Stage

REMEMBERED_MAX = 200_000
"""Datagrams of whose sending we know; older ones are not judged."""
_SENDER, _EPOCH = slice(1, 9), slice(9, 17)
"""Of a sealed datagram's head, which anybody can read (`mesh.swim.sealed`)."""
LOOKED_INTO_EVERY = 64
"""One datagram of so many is checked for readable contents; it is the dearest check."""


def _mark(data: bytes) -> bytes:
    return blake2b(data, digest_size=12).digest()


class OnlyWhatWasSent(Oracle):
    """What is believed was sent by somebody, to whoever believes it, and is believed once; nothing
    is of an earlier epoch of its sender than what was believed before."""

    name = "believed-forgery"
    simulated_only = LOOKS_INSIDE

    def __init__(self, stage: Stage, scenario: Scenario, report: Report) -> None:
        super().__init__(stage, scenario, report)
        self._sent: OrderedDict[bytes, tuple[Address, int]] = OrderedDict()
        """Mark -> to whom, and in which of its lives."""
        self._nodes = {stage.address(node): node for node in range(stage.size)}
        self._believed: OrderedDict[tuple[int, int, bytes], None] = OrderedDict()
        self._forgotten = False
        self._epochs: dict[tuple[int, int, bytes], bytes] = {}
        """(receiver, its life, sender's prefix) -> the sender's last epoch that was believed."""
        stage.tap(self._heard)

    def _heard(self, data: bytes, source: Address, destination: Address) -> None:  # noqa: ARG002
        node = self._nodes.get(destination)
        life = self.stage.life(node) if node is not None else 0
        self._sent.setdefault(_mark(data), (destination, life))
        if len(self._sent) > REMEMBERED_MAX:
            self._sent.popitem(last=False)
            self._forgotten = True

    def opened(self, receiver: int, datagram: bytes, fresh: bool) -> None:
        if not fresh:
            return
        mark = _mark(datagram)
        if mark not in self._sent:
            if not self._forgotten:
                self.fail(f"node {receiver} believes a datagram that nobody sent", receiver)
            return
        to, life = self._sent[mark]
        if to != self.stage.address(receiver):
            self.fail(f"node {receiver} believes a datagram meant for another one", receiver)
        elif life != self.stage.life(receiver):
            self.fail(f"node {receiver} believes a datagram from before it started", receiver)
        belief = (receiver, self.stage.life(receiver), mark)
        if belief in self._believed:
            self.fail(f"node {receiver} believes the same datagram twice", receiver)
        self._believed[belief] = None
        if len(self._believed) > REMEMBERED_MAX:
            self._believed.popitem(last=False)
        self._look_at_epoch(receiver, datagram)

    def _look_at_epoch(self, receiver: int, datagram: bytes) -> None:
        channel = (receiver, self.stage.life(receiver), datagram[_SENDER])
        epoch = datagram[_EPOCH]
        if epoch < self._epochs.get(channel, epoch):
            self.fail(f"node {receiver} believes a datagram of an earlier life", receiver)
        self._epochs[channel] = epoch


class Unreadable(Oracle):
    """No datagram is too large, and none can be read without a key."""

    name = "readable-datagram"
    simulated_only = LOOKS_INSIDE

    def __init__(self, stage: Stage, scenario: Scenario, report: Report) -> None:
        super().__init__(stage, scenario, report)
        self._count = 0
        stage.tap(self._heard)

    def _heard(self, data: bytes, source: Address, destination: Address) -> None:
        if len(data) > DATAGRAM_BYTES_MAX:
            self.fail(f"{source[0]} sends {destination[0]} {len(data)} bytes in one datagram")
        self._count += 1
        if self._count % LOOKED_INTO_EVERY == 0 and _readable(data):
            self.fail(f"what {source[0]} sends {destination[0]} can be read by anybody")


def _readable(data: bytes) -> bool:
    """Whether a message of ours begins anywhere in the first bytes."""
    for start in range(min(64, len(data))):
        try:
            decode_message(data[start:])
        except WireError:
            continue
        return True
    return False
