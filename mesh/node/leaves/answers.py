"""Answers to rules' questions: a configured command is asked, its answer goes into the slot.

    COMMAND QUESTION VALUE        with LEAF, RULE and SLOT in the environment

What it prints is the answer: a whole number, or one with a decimal point for a fixed-point slot
(Q16.16). The rule has not waited; the answer arrives whenever it does, or never: no command, a
failure, and an answer that is no number are logged and nothing else. One question of a leaf at a
time, in order. The leaf accepts an answer only for a slot that its signed program declares.
"""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable

import trio

from mesh.errors import CannotSpawn
from mesh.leaf.messages import BadBody, Event, Op, decode_status
from mesh.limits import LEAF_ANSWER_S, LEAF_QUESTIONS_MAX
from mesh.node.leaves.convert import INT32_MAX, INT32_MIN
from mesh.node.leaves.line import Line
from mesh.node.leaves.parts import LeafSilentError
from mesh.ports import Env, SpawnRequest

FIXED_ONE = 65_536
logger = logging.getLogger(__name__)


class Answers:
    """Questions of one line. `run` until cancelled."""

    def __init__(self, env: Env, line: Line, name_of: Callable[[], str]) -> None:
        self._env = env
        self._line = line
        self._name_of = name_of
        self._questions: deque[Event] = deque(maxlen=LEAF_QUESTIONS_MAX)
        self._asked = trio.Event()

    def ask(self, event: Event) -> None:
        """Queue a question; the oldest is dropped when too many wait."""
        if self._line.config.answer:
            self._questions.append(event)
            self._asked.set()

    async def run(self) -> None:
        while True:
            while self._questions:
                await self._answer(self._questions.popleft())
            self._asked = trio.Event()
            await self._asked.wait()

    async def _answer(self, event: Event) -> None:
        name = self._name_of()
        try:
            # An answer belongs to the program that asked: it may be another one by then.
            status = decode_status((await self._line.ask(Op.STATUS)).results)
            text = await self._command(event)
            value = parse_answer(text)
            if value is None:
                logger.warning("%s: `%s` is no answer to question %d", name, text, event.code)
                return
            where = (event.rule, event.slot, value, status.counter)
            answer = await self._line.ask(Op.WRITE_INPUT, *where)
        except (LeafSilentError, BadBody):
            logger.warning("%s: gone before its answer came", name)
            return
        if answer.error:
            logger.warning("%s: refuses the answer (error %d)", name, answer.error)

    async def _command(self, event: Event) -> str:
        """What the command printed, at most a line; empty when it failed."""
        argv = (*self._line.config.answer, str(event.code), str(event.value))
        env = {
            **os.environ,
            "LEAF": self._name_of(),
            "RULE": str(event.rule),
            "SLOT": str(event.slot),
        }
        with trio.move_on_after(LEAF_ANSWER_S):
            try:
                ended = await self._env.exec.run_process(SpawnRequest(argv, env, "/"))
            except CannotSpawn as error:
                logger.warning("%s: %s", self._name_of(), error)
                return ""
            if ended.exit_status == 0:
                return ended.stdout[:64].decode(errors="replace").strip()
        return ""


def parse_answer(text: str) -> int | None:
    """The 32 bits that an answer stands for; None when it is no number, or too great."""
    try:
        value = round(float(text) * FIXED_ONE) if "." in text else int(text)
    except (ValueError, OverflowError):
        return None
    return value if INT32_MIN <= value <= INT32_MAX else None
