"""Bringing a signed program to a leaf: begin, chunks with a window, commit. Sans-IO, over `link`.

    Transfer(link, package).start(now_s) -> effects
    Transfer.take(effect, now_s) -> effects, how it ended: for each effect of the link

Chunks go out as far as the leaf has room; each answer says how far it has got, and after a gap or
a silence the transfer goes back there (go-back-N), so the leaf needs no buffer for what is out of
order. Chunks shrink when some are lost and grow while none is. A transfer that was cut short
resumes by its digest. Deliberately not here: the trial and its confirmation (whoever deploys
decides when the program has proved itself).
"""

from __future__ import annotations

from hashlib import sha512

import attrs

from mesh.leaf.link import (
    CHUNK_BYTES_MAX,
    CHUNK_BYTES_MIN,
    Answered,
    Effect,
    LeafLink,
    Unanswered,
)
from mesh.leaf.lzss import compress
from mesh.leaf.messages import DIGEST_BYTES, LeafError, Op

STALLS_MAX = 16
"""Times in a row that a transfer goes back, without getting on, before it is given up."""
GROW_AFTER = 4
"""Chunks without a loss before they get bigger."""
AHEAD_MAX = 8
"""Chunks handed to the link at once; it sends as many as the leaf has room for."""


@attrs.frozen
class Deployed:
    """It runs, on trial."""

    counter: int
    wire_chunks: int
    """Chunks sent, repetitions included."""


@attrs.frozen
class DeployFailed:
    """The old program keeps running."""

    error: int
    """A LeafError; NONE when the leaf did not answer."""
    detail: tuple[int, ...] = ()
    """Of BAD_PROGRAM: flaw, rule + 1, instruction + 1."""


Outcome = Deployed | DeployFailed


class Transfer:
    """One deploy on one link."""

    def __init__(self, link: LeafLink, package: bytes) -> None:
        packed = compress(package)
        self._link = link
        self._bytes = len(package)
        self._data = packed if len(packed) < len(package) else package
        self._digest = sha512(package).digest()[:DIGEST_BYTES]
        self._next = 0
        """First byte that has not been handed to the link."""
        self._known = 0
        """How far the leaf has got, as it says."""
        self._tokens: dict[int, Op] = {}
        self._stalls = 0
        self._good = 0
        """Chunks since the last loss."""
        self._chunks = 0

    def start(self, now_s: float) -> list[Effect]:
        arguments: list[int | bytes] = [self._bytes, len(self._data), self._digest]
        return self._ask(Op.BEGIN, arguments, now_s)

    def _ask(self, op: Op, arguments: list[int | bytes], now_s: float) -> list[Effect]:
        token, effects = self._link.request(op, arguments, now_s)
        self._tokens[token] = op
        return effects

    def take(self, effect: Effect, now_s: float) -> tuple[list[Effect], Outcome | None]:
        """Look at one effect of the link; returns more effects, and how it ended, if it did."""
        if not isinstance(effect, Answered | Unanswered):
            return [], None
        op = self._tokens.pop(effect.token, None)
        if op is None:
            return [], None
        if isinstance(effect, Unanswered):
            return self._silent(op, now_s)
        if op is Op.COMMIT:
            return [], self._committed(effect)
        if effect.error not in (LeafError.NONE, LeafError.WRONG_OFFSET) or not effect.results:
            return [], DeployFailed(effect.error)
        return self._progress(effect, op, now_s)

    def _committed(self, answer: Answered) -> Outcome:
        numbers = tuple(each for each in answer.results if type(each) is int)
        if answer.error or not numbers:
            return DeployFailed(answer.error or LeafError.MALFORMED, numbers)
        return Deployed(numbers[0], self._chunks)

    def _silent(self, op: Op, now_s: float) -> tuple[list[Effect], Outcome | None]:
        if op is not Op.CHUNK:
            return [], DeployFailed(LeafError.NONE)
        return self._go_back(now_s)

    def _progress(
        self, effect: Answered, op: Op, now_s: float
    ) -> tuple[list[Effect], Outcome | None]:
        said = effect.results[0]
        if type(said) is not int or not 0 <= said <= len(self._data):
            return [], DeployFailed(LeafError.MALFORMED)
        if op is Op.BEGIN:
            self._known = self._next = said
        elif effect.error == LeafError.WRONG_OFFSET:
            self._known = said
            return self._go_back(now_s)
        elif said > self._known:
            self._arrived()
        self._known = max(self._known, said)
        return self._go_on(now_s), None

    def _arrived(self) -> None:
        self._stalls = 0
        self._good += 1
        if self._good >= GROW_AFTER:
            self._good = 0
            self._link.chunk_bytes = min(CHUNK_BYTES_MAX, 2 * self._link.chunk_bytes)

    def _go_back(self, now_s: float) -> tuple[list[Effect], Outcome | None]:
        self._stalls += 1
        self._good = 0
        self._link.chunk_bytes = max(CHUNK_BYTES_MIN, self._link.chunk_bytes // 2)
        if self._stalls > STALLS_MAX:
            return [], DeployFailed(LeafError.NONE)
        self._link.drop_chunks()
        self._tokens = {t: op for t, op in self._tokens.items() if op is not Op.CHUNK}
        self._next = self._known
        return self._go_on(now_s), None

    def _go_on(self, now_s: float) -> list[Effect]:
        if self._known == len(self._data):
            return [] if Op.COMMIT in self._tokens.values() else self._ask(Op.COMMIT, [], now_s)
        effects: list[Effect] = []
        while self._next < len(self._data) and len(self._tokens) < AHEAD_MAX:
            piece = self._data[self._next : self._next + self._link.chunk_bytes]
            effects += self._ask(Op.CHUNK, [self._next, piece], now_s)
            self._next += len(piece)
            self._chunks += 1
        return effects
