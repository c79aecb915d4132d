"""One end of a connection, as a program holds it: send, read, close; and what can become of it.

An end is open, closed by its program, broken, or vanished with its host's power. Deliberately not
here: why an end is feared for and when hosts come and go (`tcp`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from mesh.ports import StreamBroken
from mesh.types import Address
from sim.net.flow import Flow, Mark
from sim.net.gate import Gate

if TYPE_CHECKING:
    from sim.kernel.world import Event
    from sim.net.host import Host
    from sim.net.network import Network

READ_BYTES = 64 * 1024


def _nothing() -> None:
    """For ends that dialled: nobody waits to be told that they stand."""


class End:
    """See the module's head."""

    def __init__(self, network: Network, host: Host, address: Address, to: Address) -> None:
        self._network = network
        self._world = network.world
        self.host = host
        self.address = address
        self.to = to
        self.other: End
        self.incoming: Flow
        self.outgoing: Flow
        self.on_stands: Callable[[], None] = _nothing
        self._reader = Gate()
        self._pause = Gate()
        self._ended: Mark | None = None
        self._closed = False
        self._broken = ""
        self.vanished = False
        self.breaks_at_bytes: int | None = None
        """Once it has sent so many in all, the connection is reset."""
        self._fear: Event | None = None
        self._may_read_s = 0.0

    def join(self, other: End) -> None:
        """Become the two ends of one connection."""
        self.other, other.other = other, self
        self.outgoing = other.incoming = self._flow_to(other)
        other.outgoing = self.incoming = other._flow_to(self)

    def _flow_to(self, other: End) -> Flow:
        flow = Flow(self._network, self.address, other.address, other._mark, other._bytes)
        flow.receiver_gone = lambda: other.vanished and not other.host.up
        return flow

    @property
    def over(self) -> bool:
        """It will never carry anything any more."""
        return self._closed or bool(self._broken) or self.vanished

    @property
    def forgotten(self) -> bool:
        """Its kernel knows nothing of it any more, and answers with a reset: also when a goodbye
        could not be delivered for so long that it was given up."""
        return self.vanished or bool(self._broken) or (self._closed and self.outgoing.over)

    @property
    def ended(self) -> bool:
        """The other side seems to say no more."""
        return self._ended is not None

    # -- the program's verbs ---------------------------------------------------------------------
    async def send_all(self, data: bytes | memoryview) -> None:
        """Raises StreamBroken."""
        await trio.lowlevel.checkpoint()
        view = memoryview(data)
        while view:
            self._check()
            room_bytes = self.outgoing.room_bytes()
            if room_bytes <= 0:
                await self.outgoing.writer.wait()
                continue
            if (pause_s := self.outgoing.pause_s()) > 0.0:
                self._world.after(pause_s, self._pause.open)
                await self._pause.wait()
                continue
            size_bytes = min(room_bytes, self.outgoing.chunk_bytes(), len(view))
            self._send(bytes(view[:size_bytes]))
            view = view[size_bytes:]

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Some bytes; b"" after an announced end. Raises StreamBroken."""
        await trio.lowlevel.checkpoint()
        while True:
            if self._closed:
                raise StreamBroken("closed here")
            if self.incoming.unread:
                if (wait_s := self._may_read_s - self._world.now_s) <= 0.0:
                    return self._take(max_bytes or READ_BYTES)
                self._world.after(wait_s, self._reader.open)
            elif self._broken:
                raise StreamBroken(self._broken)
            elif self._ended is Mark.END:
                return b""
            elif self._ended is Mark.BARE_END:
                raise StreamBroken("the end was not announced")
            await self._reader.wait()

    def close(self) -> None:
        """Say goodbye and be done."""
        self._finish(Mark.END)

    def abort(self) -> None:
        """Be done without a goodbye: what the system does when a process has ended."""
        if not self.over and self.incoming.unread:
            self.send_reset()
        self._finish(Mark.BARE_END)

    def _finish(self, last: Mark) -> None:
        if self._closed or self.vanished:
            return
        broken, self._closed = bool(self._broken), True
        self.fear(None)
        self._wake()
        if not broken:
            self.outgoing.send(last)

    def freeze_out(self) -> None:
        """As `abort`, but the program that waited here is never woken up."""
        self._reader, self._pause = Gate(), Gate()
        self.outgoing.writer = Gate()
        self.abort()

    def send_reset(self) -> None:
        """Tell the other end that nothing is known of this connection here; lost on a blocked
        road."""
        if not self.outgoing.blocked():
            self._world.after(self._trip_s(), self.other.reset_by_peer)

    # -- what happens to it ----------------------------------------------------------------------
    def reset_by_peer(self) -> None:
        self.break_off("connection reset by peer")

    def break_off(self, why: str) -> None:
        """The connection is lost for this end; what had arrived can still be read."""
        if not self.over:
            self._broken = why
            self.fear(None)
            self.outgoing.over = True
            self._wake()

    def vanish(self) -> None:
        """The host has lost power: nothing leaves any more, nobody here is woken up."""
        self.vanished = True
        self.fear(None)
        self.outgoing.over = True
        self.incoming.unread.clear()

    def fear(self, within_s: float | None) -> None:
        """Break in that time unless told otherwise (None)."""
        if within_s is None:
            if self._fear is not None:
                self._fear.cancel()
                self._fear = None
        elif self._fear is None:
            self._fear = self._world.after(within_s, lambda: self.break_off("timed out"))

    def _mark(self, mark: Mark) -> None:
        if mark is Mark.STANDS:
            self.on_stands()
        elif self._ended is None:
            self._ended = mark
            self._reader.open()

    def _bytes(self) -> None:
        if self.over:
            self.incoming.unread.clear()
            self.send_reset()
        else:
            self._reader.open()

    # -- inside ----------------------------------------------------------------------------------
    def _check(self) -> None:
        if self.over:
            raise StreamBroken(self._broken or "closed here")

    def _send(self, data: bytes) -> None:
        self.outgoing.send(data)
        if self.breaks_at_bytes is not None and self.outgoing.sent_bytes >= self.breaks_at_bytes:
            self._world.after(self._trip_s(), self.other.reset_by_peer)
            self.break_off("connection reset by peer")
            self.outgoing.over = False  # what was sent before still arrives
            self._check()

    def _take(self, max_bytes: int) -> bytes:
        chop = self._network.road(self.to[0], self.address[0]).settings.get("chop-bytes")
        if chop is not None:
            max_bytes = min(max_bytes, int(chop))
        speed = self._network.setting("read-bytes-per-s", self.address[0])
        if speed is not None:
            max_bytes = min(max_bytes, max(1, int(speed / 10)))
            self._may_read_s = self._world.now_s + min(max_bytes, len(self.incoming.unread)) / speed
        return self.incoming.take(max_bytes)

    def _trip_s(self) -> float:
        return self._network.road(self.address[0], self.to[0]).link.typical_s

    def _wake(self) -> None:
        self._reader.open()
        self._pause.open()
        self.outgoing.writer.open()
