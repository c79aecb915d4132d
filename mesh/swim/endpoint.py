"""The membership core behind its seal: datagrams in, datagrams out. Still sans-IO.

    datagram -> Sealer.open -> fresh?  yes: Swim.receive -> seal each SendDatagram -> Transmit
                                       no:  one notice of our epoch, and nothing else

A member that lost its disk and whose clock went back starts in an epoch before one that we have
heard: we may not believe it, because such a datagram may be recorded. So the notice shows it its
own later record, signed by itself; it goes on above that (`membership`), seal included, and is
heard. No clock decides it, and nobody can push a node's epoch but itself. Such a notice may be
larger than what it answers; SWIM_NOTICE_INTERVAL_S bounds what a replayer can have sent for it.

The newest payload to each peer is kept until the peer is heard, and repeated once if what is heard
is a notice: the peer has started anew, or we never knew its epoch. So a first contact costs one
more round trip instead of one probe interval.
Deliberately not here: sockets and tasks (`mesh.node.gossip`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

import attrs

from mesh.limits import SWIM_NOTICE_INTERVAL_S, SWIM_RESEND_S
from mesh.swim.core import Swim
from mesh.swim.dossier import Dossier
from mesh.swim.effects import AskStream, At, Effect, MemberChanged, MemberView, SendDatagram
from mesh.swim.refusals import Refusable
from mesh.swim.repair import reminder
from mesh.swim.sealed import Opened, Sealer
from mesh.types import Address, NodeId
from mesh.wire.messages import Load
from mesh.wire.straight import quick


@quick
@attrs.frozen
class Transmit:
    """Put these bytes on the wire."""

    data: bytes
    address: Address


Output = Transmit | AskStream | MemberChanged


_Kept = tuple[SendDatagram | None, float]
"""The newest for a member, and when it was sent."""
_NOTHING_KEPT: _Kept = (None, 0.0)


class Endpoint:
    """Swim and Sealer as one machine; the driver's only counterpart."""

    def __init__(self, swim: Swim, sealer: Sealer) -> None:
        self._swim = swim
        self._sealer = sealer
        self._kept: dict[NodeId, _Kept] = {}
        self._noticed_s: dict[NodeId, float] = {}
        self._refusable = Refusable()
        self._counters: Counter[str] = Counter()
        self.next_timer_s = swim.next_timer_s
        """See `Swim.next_timer_s`."""

    @property
    def counters(self) -> Counter[str]:
        """Counts of both parts, the seal's with `seal-` in front."""
        sealed = {f"seal-{reason}": count for reason, count in self._sealer.counters.items()}
        return self._swim.counters + Counter(sealed) + self._counters

    @property
    def epoch(self) -> int:
        """Ours. It is above that of the start when an earlier start of ours was ahead of it."""
        return self._swim.table.own.record.epoch

    @property
    def table_hash(self) -> bytes:
        return self._swim.table_hash

    def snapshot(self) -> tuple[MemberView, ...]:
        return self._swim.snapshot()

    def view(self, node: NodeId) -> MemberView | None:
        return self._swim.view(node)

    def round_trips_s(self) -> Iterator[tuple[NodeId, float]]:
        return self._swim.round_trips_s()

    def dossier(self, node: NodeId, now_s: float) -> Dossier | None:
        return self._swim.dossier(node, now_s)

    def handle_timer(self, now_s: float) -> list[Output]:
        effects = self._swim.handle_timer(now_s)
        return self._seal_all(effects, now_s) if effects else []

    def machine_felt(self, pressure: float, lag_s: float, now_s: float) -> None:
        """See `Swim.machine_felt`."""
        self._swim.machine_felt(pressure, lag_s, now_s)

    def set_load(self, load: Load) -> None:
        self._swim.set_load(load)

    def set_roster(self, ids: Iterable[NodeId], now_s: float) -> list[Output]:
        allowed = frozenset(ids)
        self._sealer.set_members(allowed)
        self._kept = {node: kept for node, kept in self._kept.items() if node in allowed}
        self._noticed_s = {n: at_s for n, at_s in self._noticed_s.items() if n in allowed}
        return self._seal_all(self._swim.set_roster(allowed, now_s), now_s)

    def join(self, seeds: Iterable[tuple[NodeId, Address]], now_s: float) -> list[Output]:
        return self._seal_all(self._swim.join(seeds, now_s), now_s)

    def leave(self, now_s: float) -> list[Output]:
        return self._seal_all(self._swim.leave(now_s), now_s)

    def receive(
        self, datagram: bytes, source: Address, now_s: float, arrived_s: float | None = None
    ) -> list[Output]:
        """Handle bytes from anywhere, which arrived at `arrived_s` (now, if not told). Never
        raises."""
        opened = self._sealer.open(datagram)
        if opened is None:
            return []
        if not opened.fresh:
            return self._notice(opened, datagram, source, now_s)
        if not opened.payload:
            return self._repeat_kept(opened.sender, now_s)
        sender, swim = opened.sender, self._swim
        at = At(source, now_s if arrived_s is None else arrived_s)
        effects = swim.receive(sender, opened.payload, at, now_s)
        outputs: list[Output] = []
        if swim.table.own.record.epoch == self._sealer.epoch:
            self._kept.pop(sender, None)
        else:  # our record is in a later one, and the seal follows
            self._sealer.raise_epoch(self.epoch)
            outputs = self._repeat_kept(sender, now_s)
        return outputs + self._seal_all(effects, now_s) if effects else outputs

    def refused(self, to: Address, quoted: bytes, now_s: float) -> list[Output]:
        """The network says that nobody listens at `to`, and quotes what we sent. Never raises."""
        sent = self._refusable.match(to, quoted, now_s)
        if sent is None:
            self._counters["refusal-not-ours"] += 1
            return []
        self._counters["refusals"] += 1
        return self._seal_all(self._swim.refused(sent.node, to, sent.sent_s, now_s), now_s)

    def doubt(self, node: NodeId, now_s: float) -> list[Output]:
        """See `Swim.doubt`."""
        return self._seal_all(self._swim.doubt(node, now_s), now_s)

    def heard(self, node: NodeId, now_s: float) -> list[Output]:
        """A sign of life by another way, such as bytes on a stream."""
        return self._seal_all(self._swim.heard(node, now_s), now_s)

    def _notice(
        self, opened: Opened, datagram: bytes, source: Address, now_s: float
    ) -> list[Output]:
        sender = opened.sender
        last_s = self._noticed_s.get(sender)
        if last_s is not None and now_s - last_s < SWIM_NOTICE_INTERVAL_S:
            return []
        self._noticed_s[sender] = now_s
        payload = reminder(self._swim.table, sender) if opened.outdated else b""
        data = self._sealer.notice(sender, datagram, payload)
        return [Transmit(data, source)] if data is not None else []

    def _repeat_kept(self, node: NodeId, now_s: float) -> list[Output]:
        kept, sent_s = self._kept.pop(node, _NOTHING_KEPT)
        if kept is None or now_s - sent_s > SWIM_RESEND_S:
            return []
        data = self._sealer.seal(node, kept.payload)
        return [Transmit(data, kept.address)] if data is not None else []

    def _seal_all(self, effects: Iterable[Effect], now_s: float) -> list[Output]:
        outputs: list[Output] = []
        for effect in effects:
            if type(effect) is SendDatagram:
                node, address = effect.node, effect.address
                self._kept[node] = effect, now_s
                data = self._sealer.seal(node, effect.payload)
                if data is not None:
                    self._refusable.sent(data, node, address, now_s)
                    outputs.append(Transmit(data, address))
                continue
            assert not isinstance(effect, SendDatagram), "a final class"
            if isinstance(effect, MemberChanged):
                self._sealer.hint(effect.view.node_id, effect.view.epoch)
            outputs.append(effect)
        return outputs
