"""The gateway's end of one leaf link, as a sans-IO machine: sessions, requests, events.

    receive(bytes, now_s), handle_timer(now_s), request(op, arguments, now_s), stored()
      -> effects: Send | Opened | Proved | Answered | Unanswered | EventsTaken | Distrusted | Closed

    hello --leaf-hello--> open --proof by an admitted key--> trusted
      ^------ six timeouts in a row, or a leaf-hello that we did not ask for ------'

docs/leaf-link.md says what the two sides do. Rules: one request is on the way, but for chunks, of
which as many may be as the leaf has room for; the caller moves the cursor, once events are on disk;
nothing a leaf sends raises. Deliberately not here: ports and tasks (`mesh.node`), what a transfer
consists of (`transfer`).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

import attrs

from mesh.leaf import messages, patience
from mesh.leaf.events import Stream, Taken
from mesh.leaf.frame import Frame, FrameReader, Kind, encode
from mesh.leaf.messages import Answer, BadBody, LeafHello, Op, Proof

HELLO_FIRST_S, HELLO_MAX_S = 0.25, 1.0
"""Between hellos; growing, because on a slow line an answer is only good until the next hello."""
TIMEOUT_MIN_S = 0.04
TIMEOUT_MAX_S = 2.0
ROUND_TRIP_FIRST_S = 0.1
"""Until one was measured; and the most that an answered hello counts for, since a leaf that has
just started hears it late."""
TRIES_MAX = 8
PATIENT_AFTER = 3
"""Tries before the timeout doubles: what is lost to noise is best said again soon."""
SILENCES_MAX = 6
"""Timeouts in a row after which the session is taken for lost."""
WAITING_MAX = 64
"""Requests that may wait for their turn."""
FRAME_OVERHEAD_BYTES = 8
QUIET = frozenset({Op.BEGIN, Op.COMMIT, Op.PROVISION})
"""Nothing else is said until they are answered: some boards cannot hear while they work on them."""
CHUNK_BYTES_MIN, CHUNK_BYTES_MAX = 24, 192


class State(Enum):
    HELLO = "hello"
    OPEN = "open"
    TRUSTED = "trusted"


@attrs.frozen
class Send:
    data: bytes


@attrs.frozen
class Opened:
    """A session has begun; nothing of it is trusted yet."""

    hello: LeafHello


@attrs.frozen
class Proved:
    """The leaf is who it says, and this is what it runs."""

    hello: LeafHello
    proof: Proof
    events_agree: bool
    """False: the events we were told of this start are not those it has signed: we begin anew."""
    nonce: bytes
    """What was signed along, at our wish."""


@attrs.frozen
class Answered:
    token: int
    error: int
    results: tuple[Any, ...]


@attrs.frozen
class Unanswered:
    """No answer to this request in spite of repetitions, or its session ended."""

    token: int


@attrs.frozen
class EventsTaken:
    """Store these, then call `stored`."""

    boot_nonce: bytes
    taken: Taken
    lost: int
    """What the leaf says it dropped in this start."""


@attrs.frozen
class Distrusted:
    """It cannot prove what it says; `why` is for people."""

    why: str


@attrs.frozen
class Closed:
    """The session is lost; hello is said again."""


Effect = Send | Opened | Proved | Answered | Unanswered | EventsTaken | Distrusted | Closed


@attrs.frozen
class LinkConfig:
    token: Callable[[int], bytes]
    """That many random bytes."""
    verify: Callable[[bytes, bytes, bytes, bytes], bool]
    """(key, context, data, signature) -> is it signed by that key."""
    admitted: Callable[[bytes], bool]
    """Whether a leaf with this key may be here."""
    stream: Callable[[bytes], Stream]
    """What we have of the events of that boot nonce; a new Stream if nothing."""


@attrs.define
class _Pending:
    token: int
    op: Op
    id: int
    wire: bytes
    sent_s: float = 0.0
    deadline_s: float = 0.0
    tries: int = 0


class LeafLink:
    """One serial line with, perhaps, a leaf at its other end."""

    def __init__(self, config: LinkConfig) -> None:
        self._config = config
        self._reader = FrameReader()
        self.state = State.HELLO
        self.hello: LeafHello | None = None
        self.counters: Counter[str] = Counter()
        self._hello_nonce = b""
        self._hello_due_s = self._hello_said_s = float("-inf")
        self._hello_wait_s = HELLO_FIRST_S
        self._proof_nonce = b""
        self._proof_token = -1
        self._stream: Stream | None = None
        self._waiting: deque[_Pending] = deque()
        self._sent: dict[int, _Pending] = {}
        self._ids = 0
        self._tokens = 0
        self._silences = 0
        self.round_trip_s: float | None = None
        self.chunk_bytes = CHUNK_BYTES_MAX
        """How much of a program one frame should carry, as this line has shown."""
        self._cursor_held = False
        self._took = False
        """Whether this session has had events of the leaf."""

    # -- what it knows ---------------------------------------------------------------------------
    @property
    def dropped(self) -> Counter[str]:
        """Bytes that made no sense: reason -> count."""
        return self._reader.counters + self.counters

    def next_timer_s(self) -> float | None:
        if self.state is State.HELLO:
            return self._hello_due_s
        return min((each.deadline_s for each in self._sent.values()), default=None)

    # -- commands --------------------------------------------------------------------------------
    def request(
        self, op: Op, arguments: Sequence[int | bytes], now_s: float
    ) -> tuple[int, list[Effect]]:
        """Ask the leaf something. The token comes back in Answered or Unanswered."""
        self._tokens += 1
        token = self._tokens
        if self.state is State.HELLO or len(self._waiting) >= WAITING_MAX:
            return token, [Unanswered(token)]
        self._ids = (self._ids + 1) % 65_536
        body = messages.request(self._ids, op, arguments)
        wire = encode(Frame(Kind.REQUEST, self._epoch(), body))
        self._waiting.append(_Pending(token, op, self._ids, wire))
        return token, self._pump(now_s)

    def drop_chunks(self) -> None:
        """Forget the chunks that are on the way or wait: the transfer goes back."""
        self._waiting = deque(each for each in self._waiting if each.op is not Op.CHUNK)
        self._sent = {id_: each for id_, each in self._sent.items() if each.op is not Op.CHUNK}

    def stored(self) -> list[Effect]:
        """Everything that EventsTaken has given is on disk: let the leaf forget it."""
        self._cursor_held = self.state is not State.TRUSTED or self._is_quiet()
        if self._cursor_held or self._stream is None:
            return []
        body = messages.cursor(self._stream.next)
        return [Send(encode(Frame(Kind.EVENTS, self._epoch(), body)))]

    # -- time ------------------------------------------------------------------------------------
    def handle_timer(self, now_s: float) -> list[Effect]:
        """Do whatever is due."""
        if self.state is State.HELLO:
            return self._say_hello(now_s) if now_s >= self._hello_due_s else []
        late = [each for each in self._sent.values() if each.deadline_s <= now_s]
        if not late:
            return []
        self._silences += 1
        if self._silences >= SILENCES_MAX and max(each.tries for each in late) >= SILENCES_MAX:
            return self._lose(now_s)
        if any(each.token == self._proof_token and each.tries >= TRIES_MAX for each in late):
            return self._lose(now_s)  # a session without a proof is worth nothing
        effects: list[Effect] = []
        for each in late:
            if each.tries >= TRIES_MAX or each.op is Op.CHUNK:
                del self._sent[each.id]
                effects.append(Unanswered(each.token))
            else:
                effects.append(self._transmit(each, now_s))
        return effects + self._pump(now_s)

    def _say_hello(self, now_s: float) -> list[Effect]:
        self._hello_nonce = self._config.token(messages.NONCE_BYTES)
        self._hello_said_s = now_s
        self._hello_due_s = now_s + self._hello_wait_s
        self._hello_wait_s = min(HELLO_MAX_S, 2 * self._hello_wait_s)
        frame = Frame(Kind.HELLO, 0, messages.host_hello(self._hello_nonce))
        return [Send(b"\0" + encode(frame))]  # the zero ends what garbage may have begun

    def _lose(self, now_s: float) -> list[Effect]:
        tokens = [each.token for each in (*self._sent.values(), *self._waiting)]
        self._sent.clear()
        self._waiting.clear()
        self.state = State.HELLO
        self.hello = None
        self._silences = 0
        self._hello_wait_s = HELLO_FIRST_S
        ended: list[Effect] = [Closed(), *(Unanswered(t) for t in tokens if t != self._proof_token)]
        return ended + self._say_hello(now_s)

    # -- sending ---------------------------------------------------------------------------------
    def _epoch(self) -> int:
        assert self.hello is not None
        return self.hello.epoch

    def _is_quiet(self) -> bool:
        return any(each.op in QUIET for each in self._sent.values())

    def _pump(self, now_s: float) -> list[Effect]:
        """Send what may be on the way now."""
        effects: list[Effect] = []
        while self._waiting and self._may_go(self._waiting[0]):
            pending = self._waiting.popleft()
            self._sent[pending.id] = pending
            effects.append(self._transmit(pending, now_s))
        return effects

    def _may_go(self, pending: _Pending) -> bool:
        if not self._sent:
            return True
        if pending.op is not Op.CHUNK or any(e.op is not Op.CHUNK for e in self._sent.values()):
            return False
        assert self.hello is not None
        on_the_way = sum(len(each.wire) for each in self._sent.values())
        return on_the_way + len(pending.wire) + FRAME_OVERHEAD_BYTES <= self.hello.receive_bytes

    def _transmit(self, pending: _Pending, now_s: float) -> Send:
        assert self.hello is not None
        line_s = max(TIMEOUT_MIN_S, 3 * (self.round_trip_s or ROUND_TRIP_FIRST_S))
        growth = 2 ** max(0, pending.tries - PATIENT_AFTER + 1)
        if pending.op is Op.PROVE:  # long, so often lost; a new session is the better patience
            growth = 1
        work_s = patience.work_s(pending.op, self.hello.board, pending.tries)
        wait_s = min(TIMEOUT_MAX_S, line_s * growth) + work_s
        pending.tries += 1
        pending.sent_s, pending.deadline_s = now_s, now_s + wait_s
        return Send(pending.wire)

    # -- receiving -------------------------------------------------------------------------------
    def receive(self, data: bytes, now_s: float) -> list[Effect]:
        """Take bytes from the line. Never raises."""
        effects: list[Effect] = []
        for frame in self._reader.feed(data):
            try:
                effects += self._on_frame(frame, now_s)
            except BadBody:
                self.counters["malformed"] += 1
        return effects

    def _on_frame(self, frame: Frame, now_s: float) -> list[Effect]:
        if frame.kind is Kind.HELLO:
            return self._on_hello(messages.decode_hello(frame.body), now_s)
        if self.hello is None or frame.epoch != self.hello.epoch:
            self.counters["other-epoch"] += 1
            return []
        self._silences = 0
        if frame.kind is Kind.ANSWER:
            return self._on_answer(messages.decode_answer(frame.body), now_s)
        if frame.kind is Kind.EVENTS:
            return self._on_events(frame.body)
        self.counters["unexpected-kind"] += 1
        return []

    def _on_hello(self, hello: LeafHello, now_s: float) -> list[Effect]:
        if hello.host_nonce != self._hello_nonce:
            self.counters["old-hello"] += 1
            return []
        if self.state is not State.HELLO:
            self.counters["hello-again"] += 1
            return []
        if self.round_trip_s is None:
            self.round_trip_s = min(ROUND_TRIP_FIRST_S, now_s - self._hello_said_s)
        self.hello = hello
        self.state = State.OPEN
        self._silences = 0
        self._stream = None
        if not hello.key:
            return [Opened(hello)]
        self._proof_nonce = self._config.token(messages.PROOF_NONCE_BYTES)
        self._proof_token, effects = self.request(Op.PROVE, [self._proof_nonce], now_s)
        return [Opened(hello), *effects]

    def _on_answer(self, answer: Answer, now_s: float) -> list[Effect]:
        pending = self._sent.pop(answer.id, None)
        if pending is None:
            self.counters["unasked-answer"] += 1
            return []
        self._silences = 0
        if pending.tries == 1 and pending.op not in {
            *QUIET,
            Op.PROVE,
        }:  # Karn: only unambiguous ones
            measured_s = now_s - pending.sent_s
            before_s = self.round_trip_s
            self.round_trip_s = (
                measured_s if before_s is None else before_s * 7 / 8 + measured_s / 8
            )
        effects: list[Effect] = []
        if pending.token == self._proof_token:
            effects += self._on_proof(answer)
        else:
            effects.append(Answered(pending.token, answer.error, answer.results))
        effects += self._pump(now_s)
        return effects + (self.stored() if self._cursor_held else [])

    def _on_proof(self, answer: Answer) -> list[Effect]:
        hello = self.hello
        assert hello is not None
        if answer.error:
            return [Distrusted(f"it answers error {answer.error} when asked for a proof")]
        proof = messages.decode_proof(answer.results)
        text = messages.proof_text(self._proof_nonce, hello.boot_nonce, proof)
        if not self._config.verify(hello.key, messages.PROOF_CONTEXT, text, proof.signature):
            return [Distrusted("its signature is wrong")]
        if not self._config.admitted(hello.key):
            return [Distrusted("it is not admitted to this mesh")]
        self.state = State.TRUSTED
        self._stream = self._config.stream(hello.boot_nonce)
        agree = self._stream.agrees(proof.next_event, proof.head)
        if not agree:
            self._stream = Stream(hello.boot_nonce)
        self._took = False
        return [Proved(hello, proof, agree, self._proof_nonce), *self.stored()]

    def _on_events(self, body: bytes) -> list[Effect]:
        if self.state is not State.TRUSTED or self._stream is None:
            self.counters["early-events"] += 1
            return []
        events = messages.decode_events(body)
        taken = self._stream.take(events)
        if taken.broken and not self._took:
            # We went on from what others said, which it has not signed yet. It knows better.
            self.counters["told-otherwise"] += 1
            self._stream = Stream(self._stream.boot_nonce)
            taken = self._stream.take(events)
        self._took = True
        if taken.broken:
            self.counters["broken-chain"] += 1
            return [Distrusted("its events do not continue those it has sent")]
        if not taken.new:
            return self.stored()  # our cursor was lost
        return [EventsTaken(self._stream.boot_nonce, taken, events.lost)]
