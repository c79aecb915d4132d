"""`Sync`: the verbs of anti-entropy over one log.

    peer_up, peer_down      a stream to a member is there, or gone
    receive                 a message of a peer
    heard_digest            a peer's digest came along on a ping
    published               our own new frames
    learned_forks           proofs that our own log found
    handle_timer            at `next_timer_s`
    state_digest            what our pings carry

Every verb takes the monotonic time and gives back effects. Of two peers that differ the one with
the lower id begins: it says what it has, and both ask. If it does not, the other one begins.
Whatever a peer sends, nothing is raised: it is counted, told as a `Blame`, and has no effect.

Not here: streams, frames on disk, folding. How a difference travels is in the package's head.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from mesh.limits import SYNC_COMPARE_EVERY_S, SYNC_PROOFS_MAX
from mesh.log.added import Added
from mesh.log.forks import ForkProof, decode_fork
from mesh.log.frame import Frame, open_header
from mesh.log.log import Log
from mesh.log.sync.effects import Blame, Effect, Learned, Send
from mesh.log.sync.fetching import OURS, Fetching, judge
from mesh.log.sync.messages import (
    Bodies,
    FeedName,
    Forks,
    Headers,
    Message,
    Push,
    RollUp,
    StateDigest,
    Versions,
    WantBodies,
    WantForks,
    WantHeaders,
)
from mesh.log.sync.needs import compare, forks_lacked
from mesh.log.sync.pushing import fork_messages, pushes, some_of
from mesh.log.sync.serving import (
    Writers,
    answer_bodies,
    answer_forks,
    answer_headers,
    in_messages,
)
from mesh.log.sync.session import (
    BodiesAsked,
    Draw,
    HeadersAsked,
    Need,
    Session,
    SyncConfig,
)
from mesh.log.sync.vectors import mark_of, open_roll_up, open_section, tag_of
from mesh.types import NodeId
from mesh.wire.errors import WireError

NUDGES_MAX = 2
"""Digests that the one who should begin may leave without a word."""


class Sync:
    """See the module's head."""

    def __init__(self, config: SyncConfig, log: Log, draw: Draw) -> None:
        self._config = config
        self._log = log
        self._draw = draw
        self.sessions: dict[NodeId, Session] = {}
        self.counters: Counter[str] = Counter()
        self.carried: Counter[tuple[NodeId, str]] = Counter()
        """What peers brought and nobody took: too much of it ("flood"), or by a reason of OURS, for
        which they are not to blame, but perhaps whoever wrote it."""
        self._fetching = Fetching(
            config, log, self.sessions, self._send, self._took, int(draw() * 2**32)
        )
        self._effects: list[Effect] = []
        self._writers: tuple[bytes, Writers] | None = None
        self._next_digest_s = float("inf")
        self._fetching.look_for_gaps()
        self._handlers: dict[type, Callable[[Session, Any, float], None]] = {
            StateDigest: self._on_digest,
            RollUp: self._on_roll_up,
            Versions: self._on_versions,
            WantHeaders: self._on_want,
            WantBodies: self._on_want,
            WantForks: self._on_want,
            Headers: self._on_answer,
            Bodies: self._on_answer,
            Push: self._on_push,
            Forks: self._on_forks,
        }

    # -- verbs -----------------------------------------------------------------------------------
    def peer_up(self, peer: NodeId, now_s: float) -> list[Effect]:
        assert peer != self._config.me
        self._forget(peer)
        session = self.sessions[peer] = Session(peer)
        if self._next_digest_s == float("inf"):
            self._next_digest_s = now_s + self._config.digest_every_s
        self._send(session, StateDigest(self.state_digest()))
        return self._done(now_s)

    def peer_down(self, peer: NodeId, now_s: float) -> list[Effect]:
        self._forget(peer)
        if not self.sessions:
            self._next_digest_s = float("inf")
        return self._done(now_s)

    def receive(self, peer: NodeId, message: Message, now_s: float) -> list[Effect]:
        """Take a message. Never raises."""
        session = self.sessions.get(peer)
        if session is None:
            self.counters["stranger"] += 1
            return []
        if not session.asked.take(1, now_s):
            session.faults["flood"] += 1
            self.counters["flood"] += 1
            self.carried[peer, "flood"] += 1
            return []
        try:
            self._handlers[type(message)](session, message, now_s)
        except WireError as error:
            self._blame(session, error.reason, now_s)
        return self._done(now_s)

    def heard_digest(self, peer: NodeId, digest: bytes, now_s: float) -> list[Effect]:
        session = self.sessions.get(peer)
        if session is not None:
            self._on_digest(session, StateDigest(digest), now_s)
        return self._done(now_s)

    def published(self, frames: Sequence[Frame], now_s: float) -> list[Effect]:
        self._push(frames, None, now_s)
        return self._done(now_s)

    def learned_forks(self, forks: Sequence[ForkProof], now_s: float) -> list[Effect]:
        self._tell_forks(forks, None)
        return self._done(now_s)

    def handle_timer(self, now_s: float) -> list[Effect]:
        for session in self.sessions.values():
            for number in session.overdue(now_s):
                question = self._fetching.close(session, number)
                if isinstance(question, HeadersAsked):
                    session.drop_need(question.need)  # it will be told again, by somebody
                self._blame(session, "silence", now_s)
        if self._next_digest_s <= now_s:
            self._next_digest_s = now_s + self._config.digest_every_s
            self._fetching.look_for_gaps()
            for session in some_of(list(self.sessions.values()), 1, self._draw):
                self._send(session, StateDigest(self.state_digest()))
        return self._done(now_s)

    def look_for_gaps(self) -> None:
        """Bodies may be wanted that were here before: the disk has spoiled them."""
        self._fetching.look_for_gaps()

    @property
    def next_timer_s(self) -> float:
        """When `handle_timer` is due; infinite while there is nobody."""
        deadlines = (session.next_deadline_s() for session in self.sessions.values())
        return min(self._next_digest_s, min(deadlines, default=float("inf")))

    def state_digest(self) -> bytes:
        """8 bytes: equal to a peer's exactly when both have the same history."""
        return self._log.digest()

    # -- comparing -------------------------------------------------------------------------------
    def _on_digest(self, session: Session, message: StateDigest, now_s: float) -> None:
        mine = self.state_digest()
        if message.digest == mine:
            self._is_equal(session)
            return
        if session.is_avoided(now_s) or session.compared_s > now_s - SYNC_COMPARE_EVERY_S:
            return
        if self._config.me < session.node or session.nudges >= NUDGES_MAX:
            session.nudges = 0
            session.compared_s = now_s
            self._send(session, self._now().roll_up())
        else:
            session.nudges += 1
            session.compared_s = now_s
            self._send(session, StateDigest(mine))

    def _is_equal(self, session: Session) -> None:
        session.nudges = 0
        session.needs.clear()
        session.behaved()
        if self._fetching.wants_bodies:
            for feed, head in self._log.heads.items():
                session.heard_of(feed, head.count)

    def _on_roll_up(self, session: Session, message: RollUp, now_s: float) -> None:
        """Say what we have of the writers that differ, and ask for the same."""
        session.nudges = 0
        session.compared_s = now_s
        writers = self._now()
        same, asked = set(), []
        hashes = writers.hashes()
        for prefix, digest in open_roll_up(message):
            equal = [node for node in writers.named(prefix) if hashes[node] == digest]
            same.update(equal)
            if not equal:
                asked.append(prefix)
        sections = writers.sections(node for node in hashes if node not in same)
        for versions in in_messages(sections, tuple(asked)):
            self._send(session, versions)

    def _on_versions(self, session: Session, message: Versions, now_s: float) -> None:
        writers = self._now()
        lacked: list[FeedName] = []
        for section in [open_section(each) for each in message.sections]:
            compare(self._log, writers, session, section)
            lacked += forks_lacked(self._log, writers, section)
        if lacked:
            self._send(session, WantForks(tuple(lacked[:SYNC_PROOFS_MAX])))
        if message.asked and session.served.take(1024 * len(message.asked), now_s):
            nodes = {node for prefix in message.asked for node in writers.named(prefix)}
            for versions in in_messages(writers.sections(sorted(nodes))):
                self._send(session, versions)

    # -- questions and answers -------------------------------------------------------------------
    def _on_want(
        self, session: Session, want: WantHeaders | WantBodies | WantForks, now_s: float
    ) -> None:
        if not session.served.take(1, now_s):
            self.counters["served-out"] += 1
            return
        answer: Headers | Bodies | Forks
        if isinstance(want, WantHeaders):
            answer = answer_headers(self._log, self._now(), want)
            size = sum(len(each.data) + 64 for each in answer.headers) + _size(answer.bodies)
        elif isinstance(want, WantBodies):
            answer = answer_bodies(self._log, want)
            size = _size(answer.bodies)
        else:
            answer = answer_forks(self._log, self._now(), want)
            size = sum(map(len, answer.proofs))
        session.served.take(size, now_s)
        self._send(session, answer)

    def _on_answer(self, session: Session, answer: Headers | Bodies, now_s: float) -> None:
        question = self._fetching.close(session, answer.request)
        if isinstance(question, HeadersAsked) and isinstance(answer, Headers):
            self._fetching.headers(session, question, answer, now_s)
        elif isinstance(question, BodiesAsked) and isinstance(answer, Bodies):
            self._fetching.bodies(session, question, answer, now_s)
        elif question is None:
            self.counters["late"] += 1  # or invented: it has no effect
            return
        else:
            raise WireError("answer", "of another kind than the question")
        session.behaved()

    # -- gifts -----------------------------------------------------------------------------------
    def _on_push(self, session: Session, message: Push, now_s: float) -> None:
        fresh: list[Frame] = []
        for each in message.frames:
            signed = open_header(each.data, each.signature)
            added = self._log.add_frame(Frame(signed, each.body))
            self._took(session, added)
            judge(added)
            fresh += added.stored
            session.heard_of(signed.feed, signed.end)
            if each.body is None:
                self._fetching.may_lack(signed.feed)
            if self._log.head(signed.feed).count < signed.seq:  # something before it is missing
                name = FeedName(signed.feed.node, tag_of(signed.feed))
                mark = mark_of(signed.feed, signed.head)
                session.add_need(Need(name, signed.end, mark, signed.feed))
        if fresh:
            self._push(fresh, session.node, now_s)

    def _push(self, frames: Sequence[Frame], source: NodeId | None, now_s: float) -> None:
        others = [
            session
            for session in self.sessions.values()
            if session.node != source and not session.is_avoided(now_s)
        ]
        for session in some_of(others, self._config.fanout, self._draw):
            for push in pushes(frames):
                self._send(session, push)

    def _on_forks(self, session: Session, message: Forks, _: float) -> None:
        for data in message.proofs:
            proof = decode_fork(data)
            added = self._log.add_fork(proof)
            self._took(session, added)
            judge(added)

    def _tell_forks(self, forks: Sequence[ForkProof], source: NodeId | None) -> None:
        for session in self.sessions.values():
            if session.node != source:
                for message in fork_messages(forks):
                    self._send(session, message)

    # -- inside ----------------------------------------------------------------------------------
    def _took(self, session: Session, added: Added) -> None:
        """The log has something new from a peer, or would not have what it brought."""
        for reason, count in added.refused.items():
            if reason in OURS:
                self.carried[session.node, reason] += count
        if added.is_nothing:
            return
        self._effects.append(Learned(added))
        if added.forks:
            self._tell_forks(added.forks, session.node)

    def _now(self) -> Writers:
        """What the log has; made anew when it has changed."""
        digest = self._log.digest()
        if self._writers is None or self._writers[0] != digest:
            self._writers = (digest, Writers(self._log))
        return self._writers[1]

    def _blame(self, session: Session, reason: str, now_s: float) -> None:
        self.counters[f"refused-{reason}"] += 1
        session.misbehaved(reason, now_s, self._config.avoid_s)
        self._effects.append(Blame(session.node, reason))

    def _forget(self, peer: NodeId) -> None:
        session = self.sessions.pop(peer, None)
        for number in list(session.questions) if session is not None else ():
            assert session is not None
            self._fetching.close(session, number)

    def _send(self, session: Session, message: object) -> None:
        self._effects.append(Send(session.node, message))  # type: ignore[arg-type]

    def _done(self, now_s: float) -> list[Effect]:
        """Ask what may be asked now, and hand over the effects."""
        self._fetching.ask_all(self._now, now_s)
        effects, self._effects = self._effects, []
        return effects


def _size(bodies: Sequence[bytes | None]) -> int:
    return sum(len(body) for body in bodies if body is not None)
