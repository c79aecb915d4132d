"""Asks a board something in a session of its own, without a gateway: nothing has to be signed.

    prober = Prober(board); status = prober.status(); prober.ask(Op.RESTART)

Deliberately not here: trust, events, programs (`workbench`).
"""

from __future__ import annotations

from mesh.leaf import messages
from mesh.leaf.frame import Frame, FrameReader, Kind, encode
from mesh.leaf.messages import Answer, LeafHello, Op, Status
from sim.boards.board import Board

ANSWER_MAX_MS = 20_000
LOOK_EACH_MS = 20
AGAIN_EACH_MS = 1000


class Prober:
    """One session with a board that is switched on."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._reader = FrameReader()
        self._answer: Answer | None = None
        self._id = 0
        self.hello: LeafHello | None = None

    def ask(self, op: Op) -> Answer | None:
        """The answer; None when there is none in time. Raises BoardFault."""
        self._id, self._answer = self._id + 1, None
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
        if self.hello is None:
            frame = Frame(Kind.HELLO, 0, messages.host_hello(bytes(messages.NONCE_BYTES)))
        else:
            frame = Frame(Kind.REQUEST, self.hello.epoch, messages.request(self._id, op, ()))
        self._board.link.put(b"\0" + encode(frame))

    def _take(self, frame: Frame, op: Op) -> None:
        if frame.kind is Kind.HELLO:  # each ends the session before
            self.hello = messages.decode_hello(frame.body)
            self._say(op)
        elif frame.kind is Kind.ANSWER:
            self._answer = messages.decode_answer(frame.body)
