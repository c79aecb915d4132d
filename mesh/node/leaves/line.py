"""One line with, perhaps, a leaf at its other end: the driver of `mesh.leaf.link`.

    opening --SerialUnavailable--> wait, again
    open    --StreamBroken-------> wait, again      a cable that comes back is enough

Rules
- One task reads and is the only one that feeds the link; so what is stored and what is acknowledged
  cannot overtake each other: events are on disk before their cursor goes out.
- A disk that fails ends the session instead: the leaf still has the events and sends them again.
- Once a second the leaf is asked how it is. A program that has run on trial for TRIAL_S, with a
  leaf that proves it, is confirmed; until then the leaf would go back to the old one by itself.

Deliberately not here: who is told of it (`gateway`), answers to questions (`answers`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress

import attrs
import trio

from mesh.errors import MeshError, SerialUnavailable
from mesh.identity.keys import verify
from mesh.leaf import link as leaf_link
from mesh.leaf import messages
from mesh.leaf.events import Stream
from mesh.leaf.link import Answered, LeafLink, LinkConfig, State, Unanswered
from mesh.leaf.messages import LeafHello, Op, Proof, Status
from mesh.leaf.segment import segment_of
from mesh.leaf.transfer import DeployFailed, Outcome, Transfer
from mesh.node.leaves.convert import health_of, rules_of
from mesh.node.leaves.parts import LeafSilentError, LineConfig, LineParts
from mesh.ports import StreamBroken
from mesh.ports.serial import SerialStream
from mesh.types import NodeId
from mesh.wire.leaf_messages import LeafHealth, LeafNews

REOPEN_FIRST_S, REOPEN_MAX_S = 0.2, 3.0
POLL_EVERY_S = 1.0
TRIAL_S = 10.0
RULES_EVERY_POLLS = 5
QUALITY_WEIGHT = 0.2
"""Of the newest second in the running share of whole frames."""
BROKEN = ("stuffing", "short", "checksum", "version", "overlong")
TEXT_BYTES = frozenset({*range(32, 127), *b"\t\r\n"})
SAMPLE_BYTES = 512
logger = logging.getLogger(__name__)


@attrs.define
class _Waiter:
    settled: trio.Event = attrs.Factory(trio.Event)
    answer: Answered | Unanswered | None = None


class Line:
    """See the module's head. `run` until cancelled; everything else while it runs."""

    def __init__(self, parts: LineParts, config: LineConfig) -> None:
        self.config = config
        self._parts = parts
        self._env = parts.env
        self._link: LeafLink | None = None
        self._outgoing = bytearray()
        self._wake = trio.Event()
        self._pulse = trio.Event()
        self._scope = trio.CancelScope()
        self._waiting: dict[int, _Waiter] = {}
        self._transfer: Transfer | None = None
        self._outcome: Outcome | None = None
        self._trial_since_s: float | None = None
        self._wall_offset_ms: int | None = None
        self._frames = [0, 0]
        self._errors_before: int | None = None
        self.trouble = ""
        """Why there is no trusted leaf, for people; empty when there is."""
        self.unavailable: SerialUnavailable | None = None
        self.heard = bytearray()
        """The beginning of what came over the line since it was opened."""
        self.proof: Proof | None = None
        self.health: LeafHealth | None = None
        self.quality = 1.0

    # -- what is known ---------------------------------------------------------------------------
    @property
    def hello(self) -> LeafHello | None:
        return self._link.hello if self._link is not None else None

    @property
    def leaf(self) -> NodeId | None:
        """Who is there, as it says; proven when `trusted`."""
        hello = self.hello
        return NodeId(hello.key) if hello is not None and hello.key else None

    @property
    def trusted(self) -> bool:
        return self._link is not None and self._link.state is State.TRUSTED

    @property
    def broken_frames(self) -> int:
        """That came over the line changed; what came whole and made no sense is not among them."""
        dropped = self._link.dropped if self._link is not None else {}
        return sum(dropped.get(reason, 0) for reason in BROKEN)

    @property
    def whole_frames(self) -> bool:
        """Whether anything came that only a leaf sends, be it at the wrong time."""
        return self._link is not None and bool(self._link.counters)

    def speaks_text(self) -> bool:
        """Whether what came looks like words of another program."""
        return bool(self.heard) and all(byte in TEXT_BYTES for byte in self.heard)

    def news(self) -> LeafNews | None:
        """What others are told; None while nobody has said who it is."""
        leaf, hello, proof = self.leaf, self.hello, self.proof
        if leaf is None or hello is None:
            return None
        port, trouble = self.config.port[:256], self.trouble[:512]
        if not self.trusted or proof is None:
            return LeafNews(leaf, port, trusted=False, trouble=trouble, board=hello.board)
        assert self._link is not None
        return LeafNews(
            leaf=leaf,
            port=port,
            trusted=True,
            trouble=trouble,
            board=hello.board,
            firmware=proof.firmware,
            program=proof.program,
            rtt_us=round(1e6 * (self._link.round_trip_s or 0)),
            quality_percent=round(100 * self.quality),
            health=self.health,
        )

    async def until(self, true: Callable[[], bool], timeout_s: float) -> bool:
        """Wait for something about this line to hold; whether it does."""
        with trio.move_on_after(timeout_s):
            while not true():
                await self._pulse.wait()
        return true()

    # -- life ------------------------------------------------------------------------------------
    async def run(self) -> None:
        """Keep the line open until cancelled."""
        pause_s = REOPEN_FIRST_S
        while True:
            try:
                stream = await self._env.serial.open(self.config.port, self.config.baud)
            except SerialUnavailable as error:
                self.unavailable = error
                self._troubled(str(error))
            else:
                self.unavailable = None
                if await self._attend(stream):
                    pause_s = REOPEN_FIRST_S
            await trio.sleep(pause_s)
            pause_s = min(REOPEN_MAX_S, 2 * pause_s)

    def reconnect(self) -> None:
        """Begin anew with whoever is there."""
        self._scope.cancel()

    async def _attend(self, stream: SerialStream) -> bool:
        """Talk until the line breaks; whether a leaf was there."""
        self._link = LeafLink(
            LinkConfig(self._env.entropy.token, verify, self._is_admitted, self._stream_of)
        )
        self._outgoing.clear()
        self.heard.clear()
        try:
            with trio.CancelScope() as self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._read, stream)
                    nursery.start_soon(self._write, stream)
                    nursery.start_soon(self._keep_time)
                    nursery.start_soon(self._poll)
            why = ""  # by `reconnect`: nothing is wrong
        except* StreamBroken:
            why = "the line is gone"
        except* (OSError, MeshError) as errors:
            why = f"its events cannot be kept: {errors.exceptions[0]}"
            logger.warning("%s: %s", self.config.port, why)
        finally:
            spoke = self._link.hello is not None
            with trio.CancelScope(shield=True), suppress(StreamBroken):
                await stream.aclose()
            self._forget_session()
            self._link = None
        self._troubled(why)
        return spoke

    def _forget_session(self) -> None:
        for waiter in self._waiting.values():
            waiter.settled.set()
        self._waiting.clear()
        if self._transfer is not None:
            self._transfer, self._outcome = None, DeployFailed(messages.LeafError.NONE)
        self.proof = self.health = None
        self._trial_since_s = self._wall_offset_ms = self._errors_before = None
        self._frames = [0, 0]

    def _troubled(self, why: str) -> None:
        self.trouble = why
        self._tell()

    def _tell(self) -> None:
        self._pulse.set()
        self._pulse = trio.Event()
        self._parts.changed(self)

    def _is_admitted(self, key: bytes) -> bool:
        return self._parts.admitted(NodeId(key))

    def _stream_of(self, boot_nonce: bytes) -> Stream:
        leaf = self.leaf
        assert leaf is not None, "streams are asked for after the proof"
        return self._parts.stream(leaf, boot_nonce)

    # -- tasks of an open line -------------------------------------------------------------------
    async def _read(self, stream: SerialStream) -> None:
        link = self._link
        assert link is not None
        while True:
            data = await stream.receive_some()
            self.heard += data[: SAMPLE_BYTES - len(self.heard)]
            bad = self.broken_frames
            effects = link.receive(data, self._now_s())
            self._frames[1] += self.broken_frames - bad
            self._frames[0] += sum(not isinstance(each, leaf_link.Send) for each in effects)
            taken = [each for each in effects if isinstance(each, leaf_link.EventsTaken)]
            if taken:
                for each in taken:
                    await self._take_events(each)
                # What would acknowledge them may only leave now.
                effects = [each for each in effects if each not in taken] + link.stored()
            self._perform(effects)

    async def _write(self, stream: SerialStream) -> None:
        while True:
            while self._outgoing:
                data = bytes(self._outgoing)
                self._outgoing.clear()
                await stream.send_all(data)
            await self._wake.wait()

    async def _keep_time(self) -> None:
        link = self._link
        assert link is not None
        while True:
            due_s = link.next_timer_s()
            wait_s = float("inf") if due_s is None else due_s - self._now_s()
            if wait_s <= 0:
                self._perform(link.handle_timer(self._now_s()))
                await trio.lowlevel.checkpoint()
                continue
            wake = self._wake
            with trio.move_on_after(wait_s):
                await wake.wait()

    def _now_s(self) -> float:
        return self._env.clock.monotonic()

    def _perform(self, effects: list[leaf_link.Effect]) -> None:
        todo = list(effects)
        while todo:
            effect = todo.pop(0)
            if isinstance(effect, leaf_link.Send):
                self._outgoing += effect.data
            elif isinstance(effect, Answered | Unanswered):
                self._settle(effect)
            else:
                self._note(effect)
            if self._transfer is not None:
                more, outcome = self._transfer.take(effect, self._now_s())
                todo += more
                if outcome is not None:
                    self._transfer, self._outcome = None, outcome
                    self._tell()
        self._wake.set()
        self._wake = trio.Event()

    def _settle(self, answer: Answered | Unanswered) -> None:
        waiter = self._waiting.pop(answer.token, None)
        if waiter is not None:
            waiter.answer = answer
            waiter.settled.set()

    def _note(self, effect: leaf_link.Effect) -> None:
        match effect:
            case leaf_link.Opened(hello):
                self._troubled("" if hello.key else "not provisioned")
            case leaf_link.Proved(hello, proof, agree, nonce):
                self.proof = proof
                self._parts.proved(NodeId(hello.key), hello.boot_nonce, nonce, proof)
                self._troubled("" if agree else "its events are not those it has signed")
            case leaf_link.Distrusted(why):
                self._troubled(why)
            case leaf_link.Closed():
                self._troubled("it does not answer")

    async def _take_events(self, taken: leaf_link.EventsTaken) -> None:
        leaf = self.leaf
        assert leaf is not None
        segment = segment_of(
            taken.boot_nonce,
            taken.taken.first,
            taken.taken.head,
            taken.taken.new,
            started_unix_ms=self._started_unix_ms(taken.taken.new[-1].time_ms),
            lost=taken.lost,
        )
        new = await self._parts.keep(leaf, segment)
        fresh = {number for part in new for number in range(part.first, part.end)}
        for number, event in enumerate(segment.events, segment.first):
            if number in fresh and event.kind is messages.EventKind.ASKED:
                self._parts.asked(self, leaf, event)

    def _started_unix_ms(self, newest_ms: int) -> int:
        """When the leaf started, by our clock: from its own word, or from its newest event."""
        if self._wall_offset_ms is None:
            return max(0, round(self._env.clock.wall() * 1000) - newest_ms)
        return self._wall_offset_ms

    # -- asking ----------------------------------------------------------------------------------
    async def ask(self, op: Op, *arguments: int | bytes) -> Answered:
        """One request. Raises LeafSilentError."""
        if self._link is None:
            raise LeafSilentError
        waiter = _Waiter()
        token, effects = self._link.request(op, arguments, self._now_s())
        self._waiting[token] = waiter
        self._perform(effects)
        try:
            await waiter.settled.wait()
        finally:
            self._waiting.pop(token, None)
        if not isinstance(waiter.answer, Answered):
            raise LeafSilentError
        return waiter.answer

    async def deploy(self, package: bytes) -> Outcome:
        """Bring a signed program to the leaf, until it runs on trial. One at a time."""
        if self._link is None or not self.trusted or self._transfer is not None:
            return DeployFailed(messages.LeafError.BUSY if self._transfer else 0)
        self._outcome = None
        self._transfer = transfer = Transfer(self._link, package)
        try:
            self._perform(transfer.start(self._now_s()))
            while (outcome := self._ended()) is None:
                await self._pulse.wait()
            return outcome
        finally:
            self._transfer = None

    def _ended(self) -> Outcome | None:
        return self._outcome

    async def prove(self) -> Proof | None:
        """A fresh proof of what it runs now; None when it cannot."""
        leaf, hello = self.leaf, self.hello
        if leaf is None or hello is None:
            return None
        nonce = self._env.entropy.token(messages.PROOF_NONCE_BYTES)
        answer = await self.ask(Op.PROVE, nonce)
        if answer.error:
            return None
        try:
            proof = messages.decode_proof(answer.results)
        except messages.BadBody:
            return None
        text = messages.proof_text(nonce, hello.boot_nonce, proof)
        if not verify(leaf, messages.PROOF_CONTEXT, text, proof.signature):
            return None
        self.proof = proof
        self._parts.proved(leaf, hello.boot_nonce, nonce, proof)
        return proof

    # -- how it is -------------------------------------------------------------------------------
    async def _poll(self) -> None:
        polls = 0
        while True:
            if self.trusted:
                with suppress(LeafSilentError, messages.BadBody):
                    await self._ask_health(with_rules=polls % RULES_EVERY_POLLS == 0)
                    polls += 1
                self._tell()
                await trio.sleep(POLL_EVERY_S)
            else:
                polls = 0
                await self._pulse.wait()

    async def _ask_health(self, *, with_rules: bool) -> None:
        sent_s = self._now_s()
        answer = await self.ask(Op.STATUS)
        if answer.error:
            return
        status = messages.decode_status(answer.results)
        self._set_clock(status, self._now_s() - sent_s)
        self._rate(status)
        rules = self.health.rules if self.health is not None else ()
        changed = self.health is None or self.health.counter != status.counter
        if with_rules or changed:
            told = await self.ask(Op.RULES)
            rules = rules_of(told.results) if not told.error else ()
        self.health = health_of(status, rules)
        if changed:
            await self.prove()
        await self._end_trial(status)

    def _set_clock(self, status: Status, round_trip_s: float) -> None:
        if self._wall_offset_ms is None:
            now_ms = round(1000 * (self._env.clock.wall() - round_trip_s / 2))
            self._wall_offset_ms = max(0, now_ms - status.uptime_ms)

    def _rate(self, status: Status) -> None:
        """The running share of frames that arrived whole, in both directions."""
        errors = status.crc_errors + status.overruns
        before = errors if self._errors_before is None else self._errors_before
        self._errors_before = errors
        good, bad = self._frames[0] + 1, self._frames[1] + max(0, errors - before)
        self._frames = [0, 0]
        self.quality += QUALITY_WEIGHT * (good / (good + bad) - self.quality)

    async def _end_trial(self, status: Status) -> None:
        if not status.trial:
            self._trial_since_s = None
        elif self._trial_since_s is None:
            self._trial_since_s = self._now_s()
        elif self._now_s() - self._trial_since_s >= TRIAL_S:
            proof = await self.prove()
            if proof is not None and proof.counter == status.counter:
                await self.ask(Op.CONFIRM, proof.counter)


assert TRIAL_S > POLL_EVERY_S
