"""The receiving and sending half of any UART, and the line outside it.

A byte is ten bits on the line. Received ones wait in a FIFO of the part's depth; one that comes
when it is full is lost and raises the overrun flag, as on the part. Registers are the parts'
business.
"""

from __future__ import annotations

from collections import deque

from sim.boards.blocks import NS_PER_S, Host

BITS_PER_BYTE = 10


class Uart:
    """`put` and `take` are the outside's; the rest is the part's."""

    def __init__(self, host: Host, depth: int, baud: int = 115_200) -> None:
        self._host = host
        self._depth = depth
        self.byte_ns = BITS_PER_BYTE * NS_PER_S // baud
        self.overruns = 0
        self.last_ns = 0
        """When the last byte came that was received."""
        self.sent: deque[int] = deque()
        self._coming: deque[tuple[int, int]] = deque()
        self._line_free_ns = 0
        self.reset()

    def reset(self) -> None:
        """The part's half starts again; what is on the line stays there."""
        self.is_on = False
        self.overrun = False
        self._fifo: deque[int] = deque()
        self._room_ns = 0

    # -- outside -----------------------------------------------------------------------------------
    def put(self, data: bytes) -> None:
        """Bytes start to travel towards the part, one after the other."""
        at_ns = max(self._line_free_ns, self._host.now_ns)
        for byte in data:
            at_ns += self.byte_ns
            self._coming.append((at_ns, byte))
        self._line_free_ns = at_ns

    def take(self) -> bytes:
        """What the part has sent since the last time."""
        data = bytes(self.sent)
        self.sent.clear()
        return data

    @property
    def waiting(self) -> int:
        """Bytes that have not reached the part."""
        return len(self._coming)

    def next_event_ns(self) -> int | None:
        return self._coming[0][0] if self._coming else None

    # -- the part's half ---------------------------------------------------------------------------
    def _arrive(self) -> None:
        while self._coming and self._coming[0][0] <= self._host.now_ns:
            came_ns, byte = self._coming.popleft()
            if not self.is_on:
                continue
            if len(self._fifo) < self._depth:
                self._fifo.append(byte)
                self.last_ns = came_ns
            else:
                self.overrun = True
                self.overruns += 1

    def has_received(self) -> bool:
        self._arrive()
        return bool(self._fifo)

    @property
    def received(self) -> int:
        """Bytes that wait in the FIFO, as of the last look."""
        return len(self._fifo)

    def has_overrun(self) -> bool:
        self._arrive()
        return self.overrun

    def receive(self) -> int:
        """The oldest byte; 0 when there is none."""
        self._arrive()
        return self._fifo.popleft() if self._fifo else 0

    def has_room(self) -> bool:
        """Whether a byte may be sent. Polling for it makes time pass."""
        if self._host.now_ns >= self._room_ns:
            return True
        self._host.skip_to(self._room_ns)
        return False

    def send(self, byte: int) -> None:
        assert self._host.now_ns >= self._room_ns, "a byte was sent while there was no room"
        self._room_ns = self._host.now_ns + self.byte_ns
        self.sent.append(byte & 0xFF)
