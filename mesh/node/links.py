"""All links of this node: who is dialled, who is let in, who hears of what.

One control link per pair. The member with the lower id dials; the other only steps in when nothing
came, for networks where one direction is closed. When two links of one pair meet, the one dialled
by the lower id stays, on both sides; unless the newer one is of a later start of the peer, which
then knows nothing of the older.

The stream port has already proved who the other side is and that the roster admits it; here the
Hello is checked (mesh, version), and the roster once more, because it may have changed meanwhile.
"""

from __future__ import annotations

import logging
import math
from typing import Any, Protocol

import attrs
import trio

from mesh.node.config import LinkConfig
from mesh.node.counters import Counters
from mesh.node.link import Link, LinkParts, shake_hands
from mesh.ports import Accepted, ByteStream, Env, StreamBroken, TrustStore
from mesh.types import Address, NodeId, short
from mesh.wire.errors import WireError
from mesh.wire.frame import FrameReader
from mesh.wire.messages import BULK_LANE, CONTROL_LANE, PROTOCOL_VERSION, Hello

PARTING_S = 2.0
"""A member that goes says no more after this."""
TIMER_SLACK_S = 1e-6
"""A deadline so near is now: sleeping for less than a clock can show would be a busy loop."""
logger = logging.getLogger(__name__)


class LinkOwner(Protocol):
    """What the links need from the node."""

    def hello(self, lane: int) -> Hello: ...

    def link_up(self, link: Link) -> None: ...

    def link_down(self, link: Link) -> None: ...

    def receive(self, link: Link, message: Any) -> None: ...

    async def serve_bulk(self, stream: ByteStream, peer: NodeId, reader: FrameReader) -> None: ...


@attrs.define
class _Target:
    """A member whose address is known and that we want a link to."""

    address: Address
    next_dial_s: float
    pause_s: float
    proven: bool
    """Whether the member itself said so; an announcement on the network may be anybody's."""
    dialling: bool = False


class Links:
    """Keeps one control link to every member that is alive."""

    def __init__(
        self, env: Env, me: NodeId, trust: TrustStore, owner: LinkOwner, config: LinkConfig
    ) -> None:
        self._env = env
        self._me = me
        self._trust = trust
        self._owner = owner
        self._config = config
        self._targets: dict[NodeId, _Target] = {}
        self._wake = trio.Event()
        self._linked = trio.Event()
        self.by_node: dict[NodeId, Link] = {}
        self.counters = Counters()

    # -- what the node says ---------------------------------------------------------------------
    def want(self, node: NodeId, address: Address, *, proven: bool) -> None:
        """The member is alive at `address`; an unproven one never replaces a proven one."""
        known = self._targets.get(node)
        if node == self._me:
            return
        if known is not None and known.address == address:
            known.proven |= proven
            return
        if known is not None and known.proven and not proven:
            self.counters.add("address.unproven")
            return
        delay_s = 0.0 if self._me < node else self._config.second_dialer_delay_s
        due_s = self._env.clock.monotonic() + delay_s
        self._targets[node] = _Target(address, due_s, self._config.redial_s, proven)
        self._wake.set()

    def unwant(self, node: NodeId) -> None:
        """The member is dead, or no member any more."""
        self._targets.pop(node, None)
        if (link := self.by_node.get(node)) is not None:
            link.close()

    def part(self, node: NodeId) -> None:
        """The member says that it goes. It closes the link itself, after its last words: they may
        come later than the datagram that said so."""
        self._targets.pop(node, None)
        if (link := self.by_node.get(node)) is not None:
            clock = self._env.clock
            clock.call_at(clock.monotonic() + PARTING_S, link.close)

    def unlinked(self) -> list[NodeId]:
        """Members that are said to be alive, at an address of their own word, and that no link has
        come to yet."""
        return [
            node
            for node, target in self._targets.items()
            if target.proven and node not in self.by_node
        ]

    def post(self, node: NodeId, message: object) -> bool:
        """Queue a message for a linked peer; False when there is no link."""
        link = self.by_node.get(node)
        if link is None:
            return False
        link.post(message)
        return True

    def post_all(self, message: object) -> None:
        for link in list(self.by_node.values()):
            link.post(message)

    async def somebody(self, within_s: float) -> None:
        """Wait for a first link."""
        with trio.move_on_after(within_s):
            while not self.by_node:
                self._linked = linked = trio.Event()
                await linked.wait()

    # -- tasks ----------------------------------------------------------------------------------
    async def run(self) -> None:
        """Dial whoever is wanted and not linked, until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                now_s = self._env.clock.monotonic()
                due_s = math.inf
                for node, target in self._targets.items():
                    if node in self.by_node or target.dialling:
                        continue
                    if target.next_dial_s <= now_s + TIMER_SLACK_S:
                        target.dialling = True
                        nursery.start_soon(self._dial, node, target)
                    else:
                        due_s = min(due_s, target.next_dial_s)
                wake = self._wake = trio.Event()
                with trio.move_on_after(max(0.0, min(due_s - now_s, 3600.0))):
                    await wake.wait()

    async def accept(self, accepted: Accepted) -> None:
        """A member knocked on the peer door (handler of the listener)."""
        assert accepted.peer is not None, "the peer door proves identities"
        stream = accepted.stream
        try:
            hello, reader = await shake_hands(
                stream, self._owner.hello(CONTROL_LANE), self._config.hello_timeout_s
            )
            self._check(hello, accepted.peer)
        except (WireError, StreamBroken, trio.TooSlowError) as error:
            self.counters.add(f"accept.{_reason(error)}")
            await stream.aclose()
            return
        if hello.lane == BULK_LANE:
            await self._owner.serve_bulk(stream, accepted.peer, reader)
            return
        parts = LinkParts(stream, accepted.peer, False, self._config, self.counters)
        await self._keep(Link(parts, hello, reader))

    async def open_bulk(self, node: NodeId) -> ByteStream:
        """A new bulk stream to a member. Raises StreamBroken."""
        target = self._targets.get(node)
        if target is None:
            raise StreamBroken("address unknown")
        with trio.move_on_after(self._config.dial_timeout_s):
            stream = await self._env.streams.dial(target.address, node, self._trust)
            try:
                await shake_hands(
                    stream, self._owner.hello(BULK_LANE), self._config.hello_timeout_s
                )
            except (WireError, trio.TooSlowError, OSError) as error:
                await stream.aclose()
                raise StreamBroken(str(error)) from None
            except BaseException:
                await stream.aclose()
                raise
            return stream
        raise StreamBroken("timed out")

    async def _dial(self, node: NodeId, target: _Target) -> None:
        try:
            link = await self._connect(node, target.address)
        except (StreamBroken, WireError, trio.TooSlowError, OSError) as error:
            # OSError: this machine's own trouble (no descriptors left); it may pass.
            self.counters.add(f"dial.{_reason(error)}")
            jitter = 0.5 + self._env.entropy.random()
            target.next_dial_s = self._env.clock.monotonic() + target.pause_s * jitter
            target.pause_s = min(2 * target.pause_s, self._config.redial_max_s)
        else:
            target.pause_s = self._config.redial_s
            await self._keep(link)
            target.next_dial_s = self._env.clock.monotonic() + self._config.redial_s
        finally:
            target.dialling = False
            self._wake.set()

    async def _connect(self, node: NodeId, address: Address) -> Link:
        with trio.fail_after(self._config.dial_timeout_s):
            stream = await self._env.streams.dial(address, node, self._trust)
        ours = self._owner.hello(CONTROL_LANE)
        try:
            hello, reader = await shake_hands(stream, ours, self._config.hello_timeout_s)
            self._check(hello, node)
        except BaseException:
            await stream.aclose()
            raise
        parts = LinkParts(stream, node, True, self._config, self.counters)
        return Link(parts, hello, reader)

    async def _keep(self, link: Link) -> None:
        """Run a link to its end, unless the pair has a better one."""
        other = self.by_node.get(link.peer)
        if other is not None:
            same_start = other.hello.epoch == link.hello.epoch
            worse = self._dialled_by_lower(other) and not self._dialled_by_lower(link)
            if same_start and worse:
                self.counters.add("link.second")
                link.close()
                await link.run(lambda _link, _message: None)
                return
            self._drop(other)
        self.by_node[link.peer] = link
        self._linked.set()
        try:
            self._owner.link_up(link)
            await link.run(self._owner.receive)
        except Exception:
            # Whatever a peer made us trip over ends its link, not the node.
            logger.exception("the link with %s failed", short(link.peer))
            self.counters.add("link.bug")
            await link.discard()
        finally:
            self._drop(link)
            self._wake.set()

    def _drop(self, link: Link) -> None:
        link.close()
        if self.by_node.get(link.peer) is link:
            del self.by_node[link.peer]
            self._owner.link_down(link)

    def _dialled_by_lower(self, link: Link) -> bool:
        return link.dialled == (self._me < link.peer)

    def _check(self, hello: Hello, peer: NodeId) -> None:
        if hello.version != PROTOCOL_VERSION:
            raise WireError("version", f"{hello.version}, ours is {PROTOCOL_VERSION}")
        if not self._trust.is_member(peer):
            raise WireError("not-a-member", "removed since the handshake")


def _reason(error: Exception) -> str:
    if isinstance(error, WireError):
        return error.reason
    return "timeout" if isinstance(error, trio.TooSlowError) else "broken"
