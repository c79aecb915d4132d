"""Asks a board something in a session of its own, without a gateway: nothing has to be signed.

    prober = Prober(board); status = prober.status(); prober.ask(Op.RESTART)

Rules
- A leaf hears what was said while it started once it has: a boot that takes longer than
  AGAIN_EACH_MS answers several hellos, each ending the session before. So every hello has a nonce
  of its own, and only the answer to the last one opens a session.
- An answer counts when it is of this session and of the request that waits for one; what was asked
  twice is answered twice.
- A request that is not answered in spite of repetitions has lost its session (the leaf has
  restarted), and hello is said again.

Deliberately not here: trust, events, programs (`workbench`). `mesh.leaf.link` would ask for a
proof, which is most of what a start costs.
"""

from __future__ import annotations

from mesh.leaf import messages
from mesh.leaf.frame import Frame, FrameReader, Kind, encode
from mesh.leaf.messages import Answer, LeafHello, Op, Status
from sim.boards.board import Board

ANSWER_MAX_MS = 20_000
LOOK_EACH_MS = 20
AGAIN_EACH_MS = 1000
SAID_MAX = 3
"""Times that a request is said in one session."""


class Prober:
    """One conversation with a board that is switched on."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._reader = FrameReader()
        self._answer: Answer | None = None
        self._id = 0
        self._nonce = b""
        self._said = 0
        self.hello: LeafHello | None = None

    def ask(self, op: Op) -> Answer | None:
        """The answer; None when there is none in time. Raises BoardFault."""
        self._id, self._answer, self._said = self._id + 1, None, 0
        begun_ms = said_ms = self._board.now_ms
        self._say(op)
        while self._answer is None and self._board.now_ms - begun_ms < ANSWER_MAX_MS:
            if self._board.now_ms - said_ms >= AGAIN_EACH_MS:
                said_ms = self._board.now_ms
                self._say(op)
            self._board.run_ms(LOOK_EACH_MS)
            for frame in self._reader.feed(self._board.link.take()):
                self._take(frame, op)
        return self._answer

    def status(self) -> Status | None:
        answer = self.ask(Op.STATUS)
        if answer is None or answer.error:
            return None
        return messages.decode_status(answer.results)

    def _say(self, op: Op) -> None:
        if self._said == SAID_MAX:
            self.hello = None
        if self.hello is None:
            self._said = 0
            # The moment: no two hellos to a board have the same, whoever says them.
            self._nonce = self._board.machine.now_ns.to_bytes(messages.NONCE_BYTES)
            frame = Frame(Kind.HELLO, 0, messages.host_hello(self._nonce))
        else:
            self._said += 1
            frame = Frame(Kind.REQUEST, self.hello.epoch, messages.request(self._id, op, ()))
        self._board.link.put(b"\0" + encode(frame))

    def _take(self, frame: Frame, op: Op) -> None:
        if frame.kind is Kind.HELLO:
            hello = messages.decode_hello(frame.body)
            if hello.host_nonce == self._nonce:
                self.hello = hello
                self._say(op)
        elif self.hello is None or frame.epoch != self.hello.epoch:
            return  # an earlier session's
        elif frame.kind is Kind.ANSWER:
            answer = messages.decode_answer(frame.body)
            if answer.id == self._id:
                self._answer = answer
