"""One direction of a connection: ordered bytes that arrive late, or once the road is free again.

Rules, after TCP as Linux does it
- Nothing is lost and nothing overtakes: what the road loses is sent again and only takes longer, a
  round trip when more segments follow (fast retransmit), else the retransmission timeout.
- While the road is blocked in either direction (acknowledgements need the other one), what is sent
  is kept and tried again at growing intervals; a heal is noticed at the next try only.
- A sender has at most a window under way or unread; room comes back a trip after the reading.
- The ends are items in the order of the bytes: an announced one (TLS's close_notify, then FIN), a
  bare one (FIN), or the sign that the connection stands.

Deliberately not here: the two directions as one connection, resets and timeouts (`tcp`).
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from enum import Enum
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING

from mesh.types import Address
from sim.net.gate import Gate
from sim.net.roads import STREAMS, Road

if TYPE_CHECKING:
    from sim.net.network import Network

WINDOW_BYTES = 256 * 1024
CHUNK_BYTES = 64 * 1024
"""Sent as one event; small ones when bandwidth is scarce, so that others come in between."""
SLOW_CHUNK_BYTES = 8 * 1024
SEGMENT_BYTES = 1448
FAST_RETRANSMIT_SEGMENTS = 4
RTO_MIN_S = 0.2
RTO_MAX_S = 120.0
GIVE_UP_TRIES = 8
"""Tries on a blocked road, 25 s in all: the connection has ended by then, see `tcp`."""
RESENDS_MAX = 15
"""`tcp_retries2`: a segment lost so often would have ended the connection."""


class Mark(Enum):
    """What is in the order of the bytes, and no byte."""

    STANDS = "stands"
    END = "end"
    BARE_END = "bare end"


Item = bytes | Mark


class Flow:
    """See the module's head. The receiver is told of marks and of bytes, which are in `unread`."""

    def __init__(
        self,
        network: Network,
        source: Address,
        destination: Address,
        on_mark: Callable[[Mark], None],
        on_bytes: Callable[[], None],
    ) -> None:
        self._network = network
        self._world = network.world
        self.source = source
        self.destination = destination
        self._on_mark = on_mark
        self._on_bytes = on_bytes
        self.unread = bytearray()
        self.sent_bytes = 0
        self.writer = Gate()
        self._used_bytes = 0
        self._last_arrival_s = 0.0
        self._sent_items = 0
        self._stalled: list[tuple[int, Item]] = []
        """With their numbers: what was under way when the road closed comes before what was not."""
        self._handed_items = 0
        self._early: dict[int, Item] = {}
        """Arrived before one of a lower number, which the road had swallowed: they wait for it."""
        self._tries = 0
        self.receiver_gone: Callable[[], bool] = lambda: False
        self.over = False
        """Nothing arrives any more, whatever is under way."""

    # -- the sender's side -----------------------------------------------------------------------
    def room_bytes(self) -> int:
        """How many bytes may be sent now."""
        window = self._road().settings.get("window-bytes", WINDOW_BYTES)
        return int(window) - self._used_bytes

    def chunk_bytes(self) -> int:
        scarce = self._road().link.bandwidth_bytes_per_s is not None
        return SLOW_CHUNK_BYTES if scarce else CHUNK_BYTES

    def pause_s(self) -> float:
        """How long a polite sender waits because the cable's queue is full."""
        road = self._road()
        speed = road.link.bandwidth_bytes_per_s
        if speed is None or road.cable is None:
            return 0.0
        return max(0.0, road.cable.backlog_s(self._world.now_s) - road.link.queue_bytes / speed)

    def send(self, item: Item) -> None:
        """Put under way, or keep while the road is blocked."""
        if isinstance(item, bytes):
            self._used_bytes += len(item)
            self.sent_bytes += len(item)
            route = self.source[0] + ">" + self.destination[0]
            self._world.trace.packet(self._world.now_ns, "tcp", route, item)
        self._sent_items += 1
        if self._stalled or self.blocked():
            self._stall(self._sent_items, item)
        else:
            self._launch(self._sent_items, item)

    def _launch(self, number: int, item: Item) -> None:
        size_bytes = len(item) if isinstance(item, bytes) else 0
        delay_s = self._delay_s(size_bytes)
        arrives_s = max(self._world.now_s + delay_s, self._last_arrival_s)
        self._last_arrival_s = arrives_s
        self._world.at(arrives_s, partial(self._arrive, number, item))
        if self._network.observers:
            delay_s = arrives_s - self._world.now_s
            self._network.observe("tcp", self.source, self.destination, size_bytes, delay_s)

    def _delay_s(self, size_bytes: int) -> float:
        road, random = self._road(), self._network.random
        link = road.link
        delay_s = link.delay_s(random)
        if road.cable is not None:
            delay_s += road.cable.occupy(link, size_bytes, self._world.now_s)
        loss = min(1.0, link.loss + link.corruption)
        if loss:
            delay_s += self._resending_s(loss, -(-size_bytes // SEGMENT_BYTES) or 1)
        return delay_s

    def _resending_s(self, loss: float, segments: int) -> float:
        """What losses cost."""
        random, link = self._network.random, self._road().link
        if random() < (1.0 - loss) ** segments:
            return 0.0
        self._network.counters["resent"] += 1
        rto_s = max(RTO_MIN_S, 4 * link.typical_s)
        spent_s = 2 * link.typical_s if segments >= FAST_RETRANSMIT_SEGMENTS else rto_s
        for _ in range(RESENDS_MAX):
            if random() >= loss:
                break
            spent_s += rto_s
            rto_s = min(2 * rto_s, RTO_MAX_S)
        return spent_s

    # -- a blocked road --------------------------------------------------------------------------
    def blocked(self) -> bool:
        """Whether nothing gets through now, there or back."""
        if self.receiver_gone():
            return True
        road, back = self._road(), self._network.road(self.destination[0], self.source[0])
        clogged = road.cable is not None and road.cable.clogs > 0
        return bool((road.blocked | back.blocked) & STREAMS) or clogged

    def _stall(self, number: int, item: Item) -> None:
        insort(self._stalled, (number, item), key=itemgetter(0))
        if len(self._stalled) == 1:
            self._tries = 0
            self._try_later()

    def _try_later(self) -> None:
        wait_s = min(RTO_MIN_S * 2**self._tries, RTO_MAX_S)
        self._tries += 1
        self._world.after(wait_s, self._try_again)

    def _try_again(self) -> None:
        if self.over:
            return
        if self.blocked():
            if self._tries < GIVE_UP_TRIES:
                self._try_later()
            else:
                self.over = True
            return
        items, self._stalled = self._stalled, []
        for number, item in items:
            self._launch(number, item)

    # -- the receiver's side ---------------------------------------------------------------------
    def take(self, max_bytes: int) -> bytes:
        """Read what has arrived, and give the sender its room back."""
        taken = bytes(self.unread[:max_bytes])
        del self.unread[:max_bytes]
        if self.writer.waited_at:
            back_s = self._network.road(self.destination[0], self.source[0]).link.typical_s
            self._world.after(back_s, partial(self._give_room, len(taken)))
        else:
            self._used_bytes -= len(taken)
        return taken

    def _give_room(self, size_bytes: int) -> None:
        self._used_bytes -= size_bytes
        self.writer.open()

    def _arrive(self, number: int, item: Item) -> None:
        if self.over:
            return
        if self._stalled or self.blocked():  # a segment that the road swallowed meanwhile
            self._stall(number, item)
            return
        self._early[number] = item
        while not self.over and self._handed_items + 1 in self._early:
            self._handed_items += 1
            self._hand_over(self._early.pop(self._handed_items))

    def _hand_over(self, item: Item) -> None:
        if isinstance(item, Mark):
            self._on_mark(item)
        else:
            self.unread += item
            self._on_bytes()

    def _road(self) -> Road:
        return self._network.road(self.source[0], self.destination[0])
