"""Asking peers for what we lack, and taking what they answer.

Rules
- What is under way from one peer is not asked of another: a lease on the feed's headers, one on
  each body. It ends with the answer or with the question's deadline.
- Headers come in windows of LOG_HEADERS_BATCH_MAX, newest first: one signature for each, and
  nothing of a window is kept unless it is joined to what we have.
- Bodies are asked of all who have them, in portions, so that several peers share the work. They are
  asked for and judged by the history that we had when we asked: where a writer has signed two, an
  honest peer may have the other one.
- An answer that breaks a rule is dropped whole, counted, and its question put to the next one.

Not here: comparing (`needs`), the peers' behaviour (`session`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mesh.limits import (
    LOG_HEADERS_BATCH_MAX,
    SYNC_BLAME_MAX,
    SYNC_BODIES_BYTES,
    SYNC_BODIES_MAX,
    SYNC_GONE_RETRY_S,
    SYNC_QUESTIONS_PER_NEED_MAX,
)
from mesh.log.added import Added
from mesh.log.frame import SignedHeader, open_header
from mesh.log.log import Log
from mesh.log.model import FeedId
from mesh.log.sync.messages import (
    DIGEST8_BYTES,
    NOTHING,
    OTHER,
    Bodies,
    Headers,
    WantBodies,
    WantHeaders,
)
from mesh.log.sync.needs import is_settled, place_to_ask
from mesh.log.sync.serving import Writers
from mesh.log.sync.session import (
    BodiesAsked,
    HeadersAsked,
    Need,
    Question,
    Session,
    SyncConfig,
)
from mesh.log.sync.vectors import mark_of, tag_of
from mesh.types import NodeId
from mesh.wire.errors import WireError

OURS = frozenset({"limit", "cut", "forked", "orphans", "stranger", "unknown", "full"})
"""Reasons for which our log takes nothing, and the peer is not to blame."""
Ask = Callable[[Session, object], None]


class Fetching:
    """See the module's head. `sessions` is the core's own table."""

    def __init__(
        self,
        config: SyncConfig,
        log: Log,
        sessions: dict[NodeId, Session],
        ask: Ask,
        took: Callable[[Session, Added], None],
        first_request: int,
    ) -> None:
        self._config = config
        self._log = log
        self._sessions = sessions
        self._ask = ask
        self._took = took
        self._feed_leases: dict[object, NodeId] = {}
        """By feed, or by the mark of one we do not have."""
        self._body_leases: dict[tuple[FeedId, int], NodeId] = {}
        self._lacking: set[FeedId] = set()
        """Feeds of which we may want bodies."""
        self._request = first_request
        """Not the same at every start: an answer to who we were is none for us."""

    # -- asking ----------------------------------------------------------------------------------
    @property
    def wants_bodies(self) -> bool:
        return bool(self._lacking)

    def may_lack(self, feed: FeedId) -> None:
        self._lacking.add(feed)

    def look_for_gaps(self) -> None:
        """Find all feeds of which bodies are wanted: at the start, and now and then, because a disk
        may have spoiled some."""
        self._lacking = {feed for feed in self._log.heads if self._log.wanted(feed, 1)}

    def ask_all(self, writers: Callable[[], Writers], now_s: float) -> None:
        """Put as many questions as may wait; none while there is no room for answers."""
        if not self._log.has_room:
            return
        for session in self._sessions.values():
            if session.needs and session.has_room and not session.is_avoided(now_s):
                self._ask_headers(session, writers(), now_s)
        if self._lacking:
            self._ask_bodies(now_s)

    def _ask_headers(self, session: Session, writers: Writers, now_s: float) -> None:
        for need in list(session.needs.values()):
            if not session.has_room:
                return
            if is_settled(self._log, writers, session, need):
                session.drop_need(need)
                continue
            lease = _lease_of(need)
            if lease in self._feed_leases:
                continue
            if need.questions >= SYNC_QUESTIONS_PER_NEED_MAX:
                session.drop_need(need)
                continue
            self._feed_leases[lease] = session.node
            need.questions += 1
            place = place_to_ask(self._log, need)
            deadline_s = now_s + self._config.timeout_s
            request = self._number(session, HeadersAsked(need, place, lease, deadline_s))
            mark = self._mark_at(need, place)
            self._ask(
                session,
                WantHeaders(
                    request, need.name, place, mark, LOG_HEADERS_BATCH_MAX, SYNC_BODIES_BYTES
                ),
            )

    def _mark_at(self, need: Need, place: int) -> bytes:
        if need.feed is None or place == 0:
            return bytes(DIGEST8_BYTES)
        found = self._log.headers(need.feed, place - 1, place, 1)
        return mark_of(need.feed, found[0].head)

    def _number(self, session: Session, question: Question) -> int:
        self._request = (self._request + 1) % 2**32
        session.questions[self._request] = question
        return self._request

    def _ask_bodies(self, now_s: float) -> None:
        self._lacking = {feed for feed in self._lacking if self._log.wanted(feed, 1)}
        for session in self._sessions.values() if self._lacking else ():
            while session.has_room and not session.is_avoided(now_s):
                portion = self._portion(session, now_s)
                if portion is None:
                    break
                self._ask_portion(session, portion, now_s)

    def _ask_portion(self, session: Session, portion: Sequence[SignedHeader], now_s: float) -> None:
        newest = portion[0]
        feed, seqs = newest.feed, tuple(each.seq for each in portion)
        for seq in seqs:
            self._body_leases[feed, seq] = session.node
        question = BodiesAsked(feed, seqs, newest.head, now_s + self._config.timeout_s)
        request, mark = self._number(session, question), mark_of(feed, newest.head)
        want = WantBodies(request, feed.node, feed.epoch, feed.lane, newest.end, mark, seqs)
        self._ask(session, want)

    def _portion(self, session: Session, now_s: float) -> list[SignedHeader] | None:
        """Frames of one feed, newest first, whose bodies this peer may have and nobody is asked
        for."""
        for feed in sorted(self._lacking):
            known = session.knows.get(feed, 0)
            portion: list[SignedHeader] = []
            size = 0
            for signed in self._log.wanted(feed) if known else ():
                place = (feed, signed.seq)
                if signed.end > known or place in self._body_leases:
                    continue
                if session.lacks(place, now_s):
                    continue
                if len(portion) >= SYNC_BODIES_MAX:
                    break
                if portion and size + signed.header.body_bytes > SYNC_BODIES_BYTES:
                    break
                portion.append(signed)
                size += signed.header.body_bytes
            if portion:
                return portion
        return None

    # -- answers ---------------------------------------------------------------------------------
    def headers(
        self, session: Session, question: HeadersAsked, answer: Headers, now_s: float
    ) -> None:
        """Take the answer to a question about a need. Raises WireError for a broken rule."""
        need = question.need
        if answer.answer == NOTHING:
            session.drop_need(need)
            session.promises += question.place < need.count
            if session.promises > SYNC_BLAME_MAX:  # once it may have learned of a fork meanwhile
                raise WireError("nothing", "it had told us of more")
        elif answer.answer == OTHER:
            if question.place == 0 or answer.headers:
                raise WireError("other", "every history begins with nothing")
            need.high = question.place
        else:
            signed = self._open(need, question, answer)
            have = self._log.head(signed[0].feed).count
            if have < question.place:  # a fork or a cut has shortened ours since we asked
                need.low = min(need.low, have)
                return
            self._take(session, need, signed, answer, now_s)

    def _open(self, need: Need, question: HeadersAsked, answer: Headers) -> list[SignedHeader]:
        """The headers, newest first, all of the feed in question, the oldest where it must be."""
        if not answer.headers or len(answer.bodies) > len(answer.headers):
            raise WireError("headers", "none, or more bodies than headers")
        signed = [open_header(each.data, each.signature) for each in answer.headers]
        feed, name = signed[0].feed, need.name
        if not (feed.node.startswith(name.writer) and tag_of(feed).startswith(name.tag)):
            raise WireError("feed", "another one than asked for")
        if feed != need.feed and question.place:
            raise WireError("feed", "it has not that mark")
        if signed[-1].seq != question.place:
            raise WireError("place", "not where it was asked")
        return signed

    def _take(
        self,
        session: Session,
        need: Need,
        signed: list[SignedHeader],
        answer: Headers,
        now_s: float,
    ) -> None:
        feed = signed[0].feed
        if feed != need.feed:  # the name fits one of ours, and means one that we do not have
            need.feed, need.low, need.high = feed, 0, None
        added = self._log.add_headers(signed)
        self._took(session, added)
        self._lacking.add(feed)
        judge(added)
        if not added.is_nothing:
            need.questions = 0
        session.promises = 0
        need.low = max(need.low, signed[-1].seq)
        # There may have been no room for them, or ours is another history: then so are its bodies.
        ours = (each.end for each in signed if self._log.is_part(each))
        common = next(ours, signed[-1].seq)
        session.heard_of(feed, common)
        oldest_first = [each.seq for each in reversed(signed) if each.end <= common]
        self._take_bodies(session, feed, oldest_first, answer.bodies, now_s)

    def bodies(self, session: Session, question: BodiesAsked, answer: Bodies, now_s: float) -> None:
        """Take the answer to a question about bodies. Raises WireError for a broken rule."""
        if not answer.bodies or len(answer.bodies) > len(question.seqs):
            raise WireError("bodies", "none, or more than asked for")
        if not self._log.knows(question.feed, question.head):
            return  # ours is another history than when we asked
        self._take_bodies(session, question.feed, question.seqs, answer.bodies, now_s)

    def _take_bodies(
        self,
        session: Session,
        feed: FeedId,
        seqs: Sequence[int],
        bodies: tuple[bytes | None, ...],
        now_s: float,
    ) -> None:
        for seq, body in zip(seqs, bodies, strict=False):
            if body is None:
                session.has_not((feed, seq), now_s + SYNC_GONE_RETRY_S)
                continue
            added = self._log.add_body(feed, seq, body)
            self._took(session, added)
            judge(added)

    # -- the end of questions --------------------------------------------------------------------
    def close(self, session: Session, number: int) -> Question | None:
        """The question with this number, whose leases end here."""
        question = session.questions.pop(number, None)
        if question is not None:
            self._release(session, question)
        return question

    def _release(self, session: Session, question: Question) -> None:
        if isinstance(question, HeadersAsked):
            if self._feed_leases.get(question.lease) == session.node:
                del self._feed_leases[question.lease]
            return
        for seq in question.seqs:
            if self._body_leases.get((question.feed, seq)) == session.node:
                del self._body_leases[question.feed, seq]


def _lease_of(need: Need) -> object:
    return need.feed if need.feed is not None else need.mark


def judge(added: Added) -> None:
    """Raises WireError for the first thing that an honest peer would not have sent."""
    for reason in added.refused:
        if reason not in OURS:
            raise WireError(reason)
