"""A line with two ends: bytes in order, at the pace of its baud rate, and what befalls them.

A byte is ten bits on the line (start, eight, stop). They travel in pieces of a UART's FIFO, one
event each. The transmitter keeps what waits for the line; the receiver has a bounded buffer, and
what does not fit is lost (an overrun). Deliberately not here: `mesh.ports.Serial` (`port`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from math import log

import attrs

from sim.undo import Fault
from sim.world import World

BITS_PER_BYTE = 10
FIFO_BYTES = 16
LEFT, RIGHT, BOTH = "left", "right", "both"


@attrs.frozen
class SerialLineConfig:
    """How a line is made."""

    baud: int = 115_200
    receive_buffer_bytes: int = 4096
    send_buffer_bytes: int = 4096
    """What the transmitter's system takes before a writer has to wait."""


@attrs.frozen(eq=False)
class _Trouble:
    """One fault at work."""

    kind: str
    at: str
    amount: float = 1.0

    def shows_at(self, side: str) -> bool:
        return self.at in (BOTH, side)


def _nothing() -> None:
    """Nobody waits for that."""


class SerialEnd:
    """One end. Whoever holds it writes, and is told when something has come or gone."""

    def __init__(self, line: SerialLine, side: str) -> None:
        self.line = line
        self.side = side
        self.baud = line.config.baud
        self.held = False
        """Somebody has it open."""
        self.received = bytearray()
        self.on_change: Callable[[], None] = _nothing
        """Called when bytes have arrived, room has come, or the plug was pulled."""
        self._handler: Callable[[bytes], None] | None = None
        self._busy_until_s = 0.0

    @property
    def plugged(self) -> bool:
        return not self.line.suffers("unplug", self.side)

    def attach(self, handler: Callable[[bytes], None]) -> None:
        """Hand over what arrives at once, instead of keeping it."""
        self._handler = handler

    def room_bytes(self) -> int:
        """How much the system would take now."""
        backlog_s = max(0.0, self._busy_until_s - self.line.world.now_s)
        return self.line.config.send_buffer_bytes - int(backlog_s * self.baud / BITS_PER_BYTE)

    def write(self, data: bytes) -> None:
        """Send all of it, however long that takes."""
        world = self.line.world
        for start in range(0, len(data), FIFO_BYTES):
            piece = data[start : start + FIFO_BYTES]
            begin_s = max(self._busy_until_s, world.now_s)
            self._busy_until_s = begin_s + len(piece) * BITS_PER_BYTE / self.baud
            world.at(self._busy_until_s, partial(self._sent, piece))

    def hear(self, data: bytes) -> None:
        """Something arrives here."""
        if not self.plugged:
            self.line.counters["unplugged"] += len(data)
            return
        if self._handler is not None:
            self._handler(data)
            return
        if not self.held:
            self.line.counters["nobody-listens"] += len(data)
            return
        room = self.line.config.receive_buffer_bytes - len(self.received)
        self.line.counters["overrun"] += max(0, len(data) - room)
        self.received += data[: max(0, room)]
        self.on_change()

    def _sent(self, piece: bytes) -> None:
        if self.plugged:
            self.line.carry(self, piece)
        self.on_change()


class SerialLine:
    """See the module's head, and the package's for the faults."""

    def __init__(self, world: World, name: str, config: SerialLineConfig | None = None) -> None:
        self.world = world
        self.name = name
        self.config = config or SerialLineConfig()
        self.random = world.rng(name).random
        self.counters: Counter[str] = Counter()
        self._troubles: list[_Trouble] = []
        self.left = SerialEnd(self, LEFT)
        self.right = SerialEnd(self, RIGHT)

    def carry(self, source: SerialEnd, piece: bytes) -> None:
        """From one end to the other."""
        target = self.right if source is self.left else self.left
        self.world.trace.packet(self.world.now_ns, "serial", self.name + ">" + target.side, piece)
        if self.suffers("cut", target.side):
            self.counters["cut"] += len(piece)
            return
        arrives = bytes(self._damaged(piece, source, target))
        if arrives:
            target.hear(arrives)

    def _damaged(self, piece: bytes, source: SerialEnd, target: SerialEnd) -> bytearray:
        lose, flip = self._amount("lose", target.side), self._amount("flip", target.side)
        garbled = source.baud != target.baud or self.suffers("mismatch", target.side)
        arrives = bytearray()
        for byte in piece:
            if garbled:
                self.counters["garbled"] += 1
                arrives.append(int(self.random() * 256))
            elif lose and self.random() < lose:
                self.counters["lost"] += 1
            elif flip and self.random() < flip:
                self.counters["flipped"] += 1
                arrives.append(byte ^ 1 << int(self.random() * 8))
            else:
                arrives.append(byte)
        return arrives

    # -- faults ----------------------------------------------------------------------------------
    def lose(self, chance: float, at: str = BOTH) -> Fault:
        return self._add(_Trouble("lose", at, chance))

    def flip(self, chance: float, at: str = BOTH) -> Fault:
        return self._add(_Trouble("flip", at, chance))

    def noise(self, bytes_per_s: float, at: str = BOTH) -> Fault:
        trouble = _Trouble("noise", at, bytes_per_s)
        fault = self._add(trouble)
        self._crackle_later(trouble)
        return fault

    def cut(self, at: str = BOTH) -> Fault:
        return self._add(_Trouble("cut", at))

    def mismatch(self, at: str = BOTH) -> Fault:
        return self._add(_Trouble("mismatch", at))

    def unplug(self, at: str = LEFT) -> Fault:
        fault = self._add(_Trouble("unplug", at))
        for end in (self.left, self.right):
            if not end.plugged:
                end.received.clear()
                end.on_change()
        return fault

    def heal(self) -> None:
        """Undo all."""
        self._troubles.clear()

    def suffers(self, kind: str, side: str) -> bool:
        return any(each.kind == kind and each.shows_at(side) for each in self._troubles)

    def _add(self, trouble: _Trouble) -> Fault:
        self._troubles.append(trouble)
        self.world.note("serial", self.name, trouble.kind, trouble.at, trouble.amount)

        def remove() -> None:
            if trouble in self._troubles:
                self._troubles.remove(trouble)

        return Fault(remove)

    def _amount(self, kind: str, side: str) -> float:
        return sum(
            each.amount for each in self._troubles if each.kind == kind and each.shows_at(side)
        )

    def _crackle_later(self, trouble: _Trouble) -> None:
        wait_s = -log(1.0 - self.random()) / trouble.amount
        self.world.after(wait_s, lambda: self._crackle(trouble))

    def _crackle(self, trouble: _Trouble) -> None:
        if trouble in self._troubles:
            for end in (self.left, self.right):
                if trouble.shows_at(end.side):
                    self.counters["noise"] += 1
                    end.hear(bytes((int(self.random() * 256),)))
            self._crackle_later(trouble)
