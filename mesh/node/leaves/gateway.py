"""All leaves as this node knows them: its own lines, other gateways' news, everybody's events.

    attach(config) / detach(port)      lines of this node; kept over restarts
    receive(link, message)             what members say about leaves
    seen()                             leaf -> (gateway, news): where each one is now

Rules
- A member's word that it has a leaf is news, shown as such and used to send programs to it; it can
  give a leaf no programs (they are signed).
- Events go into the mesh's log (`entering`), and are read from its state.
- Who may not build may not tell: a viewer's news is counted and dropped.

Deliberately not here: bringing programs (`deploying`), making leaves ours (`provisioning`).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Protocol

import attrs
import trio

from mesh.errors import NotAllowed
from mesh.identity.roles import BUILD
from mesh.identity.trust import MeshIdentity
from mesh.leaf.messages import Event
from mesh.limits import LEAF_LINES_MAX, LEAVES_HEARD_MAX
from mesh.node.counters import Counters
from mesh.node.leaves.answers import Answers
from mesh.node.leaves.entering import Entering, EnteringParts
from mesh.node.leaves.line import Line
from mesh.node.leaves.parts import LeafSilentError, LineConfig, LineParts
from mesh.node.leaves.waiting import WaitingEvents
from mesh.node.link import Link
from mesh.node.state.driver import SharedState
from mesh.ports import Env
from mesh.types import NodeId, short
from mesh.wire.leaf_messages import (
    LeafGone,
    LeafNews,
    LeafProgram,
    LeafProgramNews,
)

LINES_FILE = "leaf/lines.json"
NEWS_EVERY_S = 2.0
"""News that differs in nothing but running numbers is not told more often."""
PROOF_EVERY_S = 30.0
"""A leaf is asked for a signature no more often because others said what it did not."""
logger = logging.getLogger(__name__)


class Posting(Protocol):
    """What of `mesh.node.links.Links` is used."""

    @property
    def by_node(self) -> Mapping[NodeId, Link]: ...

    def post(self, node: NodeId, message: object) -> bool: ...

    def post_all(self, message: object) -> None: ...


class Programs(Protocol):
    """What becomes of messages about programs: `deploying.Deployer`."""

    def asked(self, peer: NodeId, message: LeafProgram) -> None: ...

    def told(self, peer: NodeId, message: LeafProgramNews) -> None: ...

    def peer_down(self, peer: NodeId) -> None: ...


@attrs.define
class _Attached:
    line: Line
    answers: Answers
    scope: trio.CancelScope
    told: LeafNews | None = None
    told_s: float = float("-inf")


@attrs.frozen
class Seen:
    """Where a leaf is now."""

    gateway: NodeId
    news: LeafNews


class Leaves:
    """See the module's head. `run` until cancelled."""

    def __init__(
        self, env: Env, identity: MeshIdentity, links: Posting, state: SharedState
    ) -> None:
        self.env = env
        self.identity = identity
        self.links = links
        self.counters = Counters()
        self.waiting = WaitingEvents(env, self.counters)
        self.events = Entering(
            EnteringParts(
                env,
                identity.node_id,
                state,
                self.waiting,
                self.counters,
                self.is_leaf,
                self._contradicted,
            )
        )
        self.programs: Programs | None = None
        self.admitted: Callable[[], None] = self.roster_changed
        """Called when a leaf was admitted here, or shut out; the node tells everybody."""
        self._lines: dict[str, _Attached] = {}
        self._heard: dict[NodeId, dict[NodeId, LeafNews]] = {}
        self.being_provisioned: set[NodeId] = set()
        """Keys that were just made at one of our lines; they may prove themselves there."""
        self._asked_proof_s: dict[NodeId, float] = {}
        self._nursery: trio.Nursery | None = None

    # -- life ------------------------------------------------------------------------------------
    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as self._nursery:
            task_status.started()
            await self._nursery.start(self.events.run)
            for config in self._remembered():
                self._start(config)

    def attach(self, config: LineConfig) -> Line:
        """Attend to a line from now on. The same port again: with these settings. Raises
        NotAllowed."""
        if len(self._lines) >= LEAF_LINES_MAX and config.port not in self._lines:
            raise NotAllowed(role="node", what=f"attend to more than {LEAF_LINES_MAX} lines")
        known = self._lines.get(config.port)
        if known is not None and known.line.config == config:
            return known.line
        if known is not None:
            self._stop(known)
        return self._start(config)

    def remember(self) -> None:
        """Attend to the present lines after a restart, too. Raises StoreFull, OSError."""
        rows = [attrs.asdict(each.line.config) for each in self._lines.values()]
        self.env.disk.write(LINES_FILE, (json.dumps(rows, indent=1) + "\n").encode())

    def detach(self, port: str) -> bool:
        """Whether there was such a line."""
        attached = self._lines.pop(port, None)
        if attached is not None:
            self._stop(attached)
        return attached is not None

    def line(self, port: str) -> Line | None:
        attached = self._lines.get(port)
        return attached.line if attached is not None else None

    def lines(self) -> list[Line]:
        return [each.line for each in self._lines.values()]

    def line_of(self, leaf: NodeId) -> Line | None:
        """Our line with that leaf, once it has proved itself."""
        return next((x for x in self.lines() if x.trusted and x.leaf == leaf), None)

    def _remembered(self) -> Iterator[LineConfig]:
        try:
            rows = json.loads(self.env.disk.read(LINES_FILE) or b"[]")
            for row in rows[:LEAF_LINES_MAX]:
                yield LineConfig(str(row["port"]), int(row["baud"]), tuple(row["answer"]))
        except (OSError, ValueError, TypeError, KeyError):
            self.counters.add("leaf.lines-unreadable")

    def _start(self, config: LineConfig) -> Line:
        assert self._nursery is not None, "lines live in `run`"
        parts = LineParts(
            env=self.env,
            admitted=self._may_prove,
            stream=self.events.stream,
            keep=self.events.keep,
            proved=self.events.proved,
            changed=self._line_changed,
            asked=self._asked,
        )
        line = Line(parts, config)
        answers = Answers(self.env, line, lambda: self.name_of(line.leaf))
        attached = self._lines[config.port] = _Attached(line, answers, trio.CancelScope())
        self._nursery.start_soon(self._attend, attached)
        return line

    def _stop(self, attached: _Attached) -> None:
        attached.scope.cancel()
        self.events.hurry()
        if attached.told is not None:
            self.links.post_all(LeafGone(attached.told.leaf))

    async def _attend(self, attached: _Attached) -> None:
        """A bug that one line runs into ends that line, not the node."""
        try:
            with attached.scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(attached.line.run)
                    nursery.start_soon(attached.answers.run)
        except Exception:
            logger.exception("the line %s is given up", attached.line.config.port)
            self.counters.add("leaf.line-failed")

    # -- who is who ------------------------------------------------------------------------------
    def is_leaf(self, leaf: NodeId) -> bool:
        member = self.identity.member(leaf)
        return member is not None and member.is_wired_leaf

    def name_of(self, leaf: NodeId | None) -> str:
        member = self.identity.member(leaf) if leaf is not None else None
        return member.name if member is not None else short(leaf or b"")

    def seen(self) -> dict[NodeId, Seen]:
        """Every leaf that some gateway has now; our own lines first, then who proved it."""
        found: dict[NodeId, Seen] = {}
        for gateway, heard in self._heard.items():
            for leaf, news in heard.items():
                if leaf not in found or news.trusted:
                    found[leaf] = Seen(gateway, news)
        me = self.identity.node_id
        for line in self.lines():
            own = line.news()
            if own is not None and (own.trusted or own.leaf not in found):
                found[own.leaf] = Seen(me, own)
        return found

    def roster_changed(self) -> None:
        """A leaf that waits at a line may have been admitted meanwhile, or shut out."""
        for line in self.lines():
            if line.leaf is not None and line.trusted != self._may_prove(line.leaf):
                line.reconnect()

    def _may_prove(self, leaf: NodeId) -> bool:
        return self.is_leaf(leaf) or leaf in self.being_provisioned

    # -- our own lines ---------------------------------------------------------------------------
    def _contradicted(self, leaf: NodeId) -> None:
        """Let the leaf say again what is true, if it is here: not all the time, it is work."""
        line, now_s = self.line_of(leaf), self.env.clock.monotonic()
        if line is None or now_s - self._asked_proof_s.get(leaf, float("-inf")) < PROOF_EVERY_S:
            return
        assert self._nursery is not None, "lines live in `run`"
        self._asked_proof_s[leaf] = now_s
        self._nursery.start_soon(self._prove, line)

    async def _prove(self, line: Line) -> None:
        with suppress(LeafSilentError):
            await line.prove()

    def _asked(self, line: Line, _leaf: NodeId, event: Event) -> None:
        attached = self._lines.get(line.config.port)
        if attached is not None and attached.line is line:
            attached.answers.ask(event)

    def _line_changed(self, line: Line) -> None:
        attached = self._lines.get(line.config.port)
        if attached is None or attached.line is not line:
            return
        news, told, now_s = line.news(), attached.told, self.env.clock.monotonic()
        if told is not None and (news is None or news.leaf != told.leaf):
            self.links.post_all(LeafGone(told.leaf))
            attached.told = None
        if news is None or not self.is_leaf(news.leaf):
            return
        if (
            attached.told is None
            or _differs(news, attached.told)
            or (news != attached.told and now_s - attached.told_s >= NEWS_EVERY_S)
        ):
            attached.told, attached.told_s = news, now_s
            self.links.post_all(news)

    # -- members ---------------------------------------------------------------------------------
    def link_up(self, link: Link) -> None:
        for attached in self._lines.values():
            if attached.told is not None:
                link.post(attached.told)

    def link_down(self, peer: NodeId) -> None:
        self._heard.pop(peer, None)
        if self.programs is not None:
            self.programs.peer_down(peer)

    def receive(self, link: Link, message: Any) -> bool:
        """Take in what a member says; whether it was about leaves. Never raises."""
        if not isinstance(message, LeafNews | LeafGone | LeafProgram | LeafProgramNews):
            return False
        peer = link.peer
        if not self.identity.allowed(peer, BUILD):
            self.counters.add("leaf.bad-input.role")
            return True
        match message:
            case LeafNews():
                self._hear(peer, message)
            case LeafGone(leaf):
                self._heard.get(peer, {}).pop(leaf, None)
            case LeafProgram() if self.programs is not None:
                self.programs.asked(peer, message)
            case LeafProgramNews() if self.programs is not None:
                self.programs.told(peer, message)
        return True

    def _hear(self, peer: NodeId, news: LeafNews) -> None:
        if not self.is_leaf(news.leaf):
            self.counters.add("leaf.bad-input.stranger")
        elif sum(map(len, self._heard.values())) < LEAVES_HEARD_MAX:
            self._heard.setdefault(peer, {})[news.leaf] = news


def _differs(news: LeafNews, told: LeafNews) -> bool:
    """In something that people wait for, not only in numbers that always run."""

    def still(each: LeafNews) -> tuple[object, ...]:
        health = each.health
        return (
            each.trusted,
            each.trouble,
            each.program,
            health is None,
            health is not None and (health.trial, health.counter, health.firmware_error),
        )

    return still(news) != still(told)
