"""A leaf, a line and the gateway's link in one process and one time: for tests, benches and play.

    rig = Rig(seed=7, noise=Noise(bit_flips=1e-4))
    rig.provision(); rig.deploy(rig.package(SOURCE, counter=1)); rig.step(5000)

A millisecond is a step. Everything that happens is drawn from the seed. The rig also looks into the
leaf's memory at each step, so that what was delivered can be compared with what was true.
Deliberately not here: the node around the gateway.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

import attrs
from nacl.bindings import crypto_sign
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from mesh.leaf.events import Stream
from mesh.leaf.link import (
    Answered,
    Closed,
    Distrusted,
    Effect,
    EventsTaken,
    LeafLink,
    LinkConfig,
    Proved,
    Send,
    State,
    Unanswered,
)
from mesh.leaf.messages import Event, Op
from mesh.leaf.transfer import Deployed, DeployFailed, Outcome, Transfer
from mesh.rules.boards import has_on
from mesh.rules.compile import compile_rules
from mesh.rules.program import BoardKind, Target
from mesh.rules.signed import sign_program
from sim.leaves.board import HostBoard, ResetCause
from sim.leaves.line import Noise, NoisyLine

TRIES_MAX = 12
"""Repetitions of a command whose session ended before its answer came."""
WAIT_MAX_MS = 120_000
HEARTBEAT_MS = 1000
"""The gateway asks for the status that often; so it learns that a leaf has restarted."""
EventName = tuple[bytes, int]
"""Boot nonce and number."""


class NeverHappened(AssertionError):
    """What was waited for did not come in its time."""


def verify_signature(key: bytes, context: bytes, data: bytes, signature: bytes) -> bool:
    try:
        VerifyKey(key).verify(context + data, signature)
    except (BadSignatureError, ValueError):
        return False
    return True


@attrs.frozen
class Authority:
    """Whoever signs programs in this world."""

    seed: bytes = b"a" * 32
    mesh: bytes = b"m" * 32

    @property
    def key(self) -> bytes:
        return bytes(SigningKey(self.seed).verify_key)

    def sign(self, context: bytes, data: bytes) -> bytes:
        return crypto_sign(context + data, self.seed + self.key)[:64]


class Rig:
    """One leaf and its gateway."""

    def __init__(
        self,
        seed: int = 1,
        noise: Noise | None = None,
        kind: BoardKind = BoardKind.STM32F405,
        authority: Authority | None = None,
    ) -> None:
        self.random = Random(seed)  # noqa: S311 - a world that can be played again
        self.authority = authority or Authority()
        self.board = self.make_board(kind, seed)
        self.noise = noise or Noise()
        self.down = NoisyLine(self.noise, self.random)
        self.up = NoisyLine(self.noise, self.random)
        self.plugged = True
        self.now_ms = 0
        self.streams: dict[bytes, Stream] = {}
        self.admitted: set[bytes] = set()
        self.delivered: list[tuple[EventName, Event]] = []
        self.true_events: dict[EventName, Event] = {}
        self.answers: dict[int, Answered | Unanswered] = {}
        self.distrusted: list[str] = []
        self.proofs: list[Proved] = []
        self.closed = 0
        self.link = self.new_link()
        self._transfer: Transfer | None = None
        self.outcome: Outcome | None = None
        self._beat_ms = 0
        self.board.start()

    def make_board(self, kind: BoardKind, seed: int) -> HostBoard:
        """The leaf; another bench puts something else with the same verbs here."""
        return HostBoard(kind, seed)

    def new_link(self) -> LeafLink:
        """A gateway that has just started: it knows what is on disk and no more."""
        return LeafLink(
            LinkConfig(
                token=self.random.randbytes,
                verify=verify_signature,
                admitted=self.admitted.__contains__,
                stream=lambda boot: self.streams.setdefault(boot, Stream(boot)),
            )
        )

    # -- time ------------------------------------------------------------------------------------
    @property
    def now_s(self) -> float:
        return self.now_ms / 1000

    def step(self, count: int = 1) -> None:
        """Let so many milliseconds pass."""
        for _ in range(count):
            self.now_ms += 1
            due_s = self.link.next_timer_s()
            if due_s is not None and due_s <= self.now_s:
                self.act(self.link.handle_timer(self.now_s))
            self._heartbeat()
            arrived = self.down.take()
            if arrived:
                self.board.feed(arrived)
            if not self.board.run(self.now_ms):
                self.board.start(ResetCause.BROWNOUT)
            self._look()
            sent = self.board.take()
            if sent and self.plugged:
                self.up.put(sent)
            heard = self.up.take()
            if heard:
                self.act(self.link.receive(heard, self.now_s))

    def until(self, happened: Callable[[], bool], wait_ms: int = WAIT_MAX_MS) -> int:
        """Step until it has; returns how many milliseconds it took. Raises NeverHappened."""
        start_ms = self.now_ms
        while not happened():
            if self.now_ms - start_ms >= wait_ms:
                raise NeverHappened(f"{self.link.state} {dict(self.link.dropped)}")
            self.step()
        return self.now_ms - start_ms

    def _heartbeat(self) -> None:
        if self.link.state is State.TRUSTED and self.now_ms - self._beat_ms >= HEARTBEAT_MS:
            self._beat_ms = self.now_ms
            self.act(self.link.request(Op.STATUS, (), self.now_s)[1])

    def _look(self) -> None:
        boot = self.board.boot_nonce()
        for number, event in self.board.events():
            self.true_events[boot, number] = event

    # -- what the link wants ---------------------------------------------------------------------
    def act(self, effects: Sequence[Effect]) -> None:
        """Carry out effects of the link."""
        left = list(effects)
        while left:
            effect = left.pop(0)
            left += self._one(effect)
            if self._transfer is not None:
                more, outcome = self._transfer.take(effect, self.now_s)
                left += more
                if outcome is not None:
                    self._transfer, self.outcome = None, outcome

    def _one(self, effect: Effect) -> list[Effect]:
        if isinstance(effect, Send):
            if self.plugged:
                self.down.put(effect.data)
        elif isinstance(effect, EventsTaken):
            first = effect.taken.first
            for index, event in enumerate(effect.taken.new):
                self.delivered.append(((effect.boot_nonce, first + index), event))
            return self.link.stored()
        elif isinstance(effect, Answered | Unanswered):
            self.answers[effect.token] = effect
        elif isinstance(effect, Distrusted):
            self.distrusted.append(effect.why)
        elif isinstance(effect, Proved):
            self.proofs.append(effect)
        elif isinstance(effect, Closed):
            self.closed += 1
        return []

    # -- what people do --------------------------------------------------------------------------
    def unplug(self) -> None:
        self.plugged = False
        self.down.unplug()
        self.up.unplug()

    def plug(self) -> None:
        self.plugged = True

    def reset_leaf(self, cause: ResetCause = ResetCause.PIN) -> None:
        """The leaf restarts; what was in its receive buffer is gone."""
        self.board.start(cause)

    def reset_gateway(self) -> None:
        """The gateway's process is a new one."""
        self._transfer = None
        self.link = self.new_link()

    def ask(self, op: Op, arguments: Sequence[int | bytes] = ()) -> Answered:
        """One request and its answer, however many sessions it takes. Raises NeverHappened."""
        for _ in range(TRIES_MAX):
            self.until(lambda: self.link.state is not State.HELLO)
            token, effects = self.link.request(op, arguments, self.now_s)
            self.act(effects)
            self.until(lambda token=token: token in self.answers)  # type: ignore[misc]
            answer = self.answers.pop(token)
            if isinstance(answer, Answered):
                return answer
        raise NeverHappened(f"{op.name} is not answered")

    def provision(self) -> bytes:
        """Make the leaf one of the mesh; returns its key."""
        mine = [self.authority.mesh, self.authority.key, b"e" * 32]
        self.ask(Op.PROVISION, mine)  # or an earlier one was carried out and its answer lost
        self.reset_gateway()
        self.until(lambda: self.link.hello is not None)
        assert self.link.hello is not None
        key = self.link.hello.key
        self.admitted.add(key)
        self.reset_gateway()
        return key

    def trust(self) -> int:
        """Wait until the leaf is trusted; returns how many milliseconds it took."""
        return self.until(lambda: self.link.state is State.TRUSTED)

    def package(
        self,
        source: str,
        counter: int,
        target: Target | None = None,
        authority: Authority | None = None,
    ) -> bytes:
        """A rule file, compiled and signed."""
        signer = authority or self.authority
        program = compile_rules(source, has_on(self.board.kind), target, counter).program
        return sign_program(program, signer.mesh, signer.sign)

    def deploy(self, package: bytes) -> Outcome:
        """Bring a package to the leaf. A transfer that dies with its session is begun again."""
        for _ in range(TRIES_MAX):
            self.trust()
            self.outcome = None
            self._transfer = Transfer(self.link, package)
            self.act(self._transfer.start(self.now_s))
            self.until(lambda: self.outcome is not None)
            outcome = self._ended()
            if isinstance(outcome, Deployed) or outcome.error:
                return outcome
        return DeployFailed(0)

    def _ended(self) -> Outcome:
        assert self.outcome is not None
        return self.outcome

    # -- what was true ---------------------------------------------------------------------------
    def wrong_deliveries(self) -> int:
        """Events that were delivered twice, or never happened like that."""
        names = [name for name, _ in self.delivered]
        wrong = sum(self.true_events.get(name) != event for name, event in self.delivered)
        return wrong + len(names) - len(set(names))
