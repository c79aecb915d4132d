"""Questions to neighbours over the control links: who knows these results?

A question goes to the nearest peers at once and ends when all have answered or the time is up. A
peer that was silent is left alone for a while, so that one frozen node costs a run one timeout, not
one per batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import attrs
import trio

from mesh.cas.results import ResultCache
from mesh.limits import BLOB_REQUEST_MAX, FRAME_BYTES_MAX
from mesh.node.config import LinkConfig
from mesh.node.counters import Counters
from mesh.node.link import Link
from mesh.node.links import Links
from mesh.ports import Env
from mesh.types import Digest, NodeId
from mesh.wire.messages import AskResults, KnownResult, KnownResults

ANSWER_BYTES_MAX = FRAME_BYTES_MAX // 2
"""Results beyond this are left out of an answer: they did not come, so the action runs."""
RESULT_FRAME_BYTES = 128
"""What one result takes in an answer besides its body."""


@attrs.define
class _Question:
    """Asked and not answered by everybody yet."""

    open_peers: set[NodeId]
    found: list[tuple[NodeId, KnownResult]] = attrs.field(factory=list)
    complete: trio.Event = attrs.field(factory=trio.Event)


class Asker:
    """Asks, and answers what others ask."""

    def __init__(self, env: Env, links: Links, results: ResultCache, config: LinkConfig) -> None:
        self._env = env
        self._links = links
        self._results = results
        self._config = config
        self._questions: dict[int, _Question] = {}
        self._next_request = 1
        self._silent_until: dict[NodeId, float] = {}
        self.counters = Counters()
        self.worth_asking: Callable[[NodeId, Sequence[Digest]], bool] = lambda _node, _actions: True
        """Whether a peer may know what we do not; see `mesh.node.facts`."""

    async def results(
        self, actions: Sequence[Digest], near_first: Sequence[NodeId]
    ) -> list[tuple[NodeId, KnownResult]]:
        """What neighbours say they know. Nothing in it has been verified."""
        found: list[tuple[NodeId, KnownResult]] = []
        near_first = [node for node in near_first if self.worth_asking(node, actions)]
        for start in range(0, len(actions), BLOB_REQUEST_MAX):
            batch = tuple(actions[start : start + BLOB_REQUEST_MAX])
            found += await self._ask(batch, self._askable(near_first))
        return found

    def _askable(self, near_first: Sequence[NodeId]) -> list[NodeId]:
        now_s = self._env.clock.monotonic()
        linked = [node for node in near_first if node in self._links.by_node]
        awake = [n for n in linked if self._silent_until.get(n, -math.inf) <= now_s]
        return awake[: self._config.ask_peers_max]

    async def _ask(
        self, actions: tuple[Digest, ...], peers: list[NodeId]
    ) -> list[tuple[NodeId, KnownResult]]:
        if not peers:
            return []
        request, question = self._next_request, _Question(set(peers))
        self._next_request += 1
        self._questions[request] = question
        try:
            for peer in peers:
                self._links.post(peer, AskResults(request, actions))
            with trio.move_on_after(self._config.request_timeout_s):
                await question.complete.wait()
        finally:
            del self._questions[request]
        silence_ends_s = self._env.clock.monotonic() + self._config.request_silence_s
        for peer in question.open_peers:
            self.counters.add("ask.silent")
            self._silent_until[peer] = silence_ends_s
        return question.found

    # -- messages -------------------------------------------------------------------------------
    def asked(self, link: Link, message: AskResults) -> None:
        found: list[KnownResult] = []
        room = ANSWER_BYTES_MAX
        for action, signed in self._results.many(message.actions).items():
            room -= len(signed.body) + RESULT_FRAME_BYTES
            if room < 0:
                self.counters.add("ask.answer-cut")
                break
            found.append(KnownResult(action, signed))
        link.post(KnownResults(message.request, tuple(found)))

    def answered(self, peer: NodeId, message: KnownResults) -> None:
        question = self._questions.get(message.request)
        if question is None or peer not in question.open_peers:
            self.counters.add("ask.late-answer")
            return
        question.open_peers.discard(peer)
        question.found += [(peer, result) for result in message.results]
        if not question.open_peers:
            question.complete.set()

    def peer_down(self, peer: NodeId) -> None:
        for question in self._questions.values():
            question.open_peers.discard(peer)
            if not question.open_peers:
                question.complete.set()
