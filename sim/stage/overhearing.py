"""Overhearing whole nodes where they meet their ports: links, and the mail of membership.

The nodes run as they are; only the places are wrapped where a message enters and leaves a link, and
where a datagram is taken off a socket and handed on. Listeners are told, and change nothing.
Deliberately not here: what must hold of it (`sim.oracles.links`, `sim.oracles.mail`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from mesh.node.link import Link
from mesh.node.runtime import MeshRuntime
from mesh.ports import Arrived, Refused
from mesh.swim.endpoint import Endpoint, Output
from mesh.types import Address
from sim.machine.life import running_life
from sim.net.datagrams import SimDatagramPort
from sim.stage.base import Listener

if TYPE_CHECKING:
    from sim.stage.mesh import MeshStage

Tell = Callable[[Callable[[Listener, int], None]], None]


@contextmanager
def overhearing(stage: MeshStage) -> Iterator[None]:
    """Tell the listeners of the stage, for a while."""

    # Mail is most of what nodes do: whoever does not listen to it is not asked each time.
    hearing = [listener for listener in stage.listeners if _hears(listener)]

    def tell(say: Callable[[Listener, int], None]) -> None:
        life = running_life.get()
        if life is not None:
            node = stage.index_of(life.machine.name)
            for listener in hearing:
                say(listener, node)

    with ExitStack() as stack:
        for wrap in (_links, _socket, _membership):
            stack.enter_context(wrap(stage, tell))
        yield


@contextmanager
def _links(_: MeshStage, tell: Tell) -> Iterator[None]:
    post, receive = Link.post, MeshRuntime.receive

    def posting(link: Link, message: object) -> None:
        if link.alive:
            tell(lambda listener, _: listener.said(_end_of(link), message))
        post(link, message)

    def receiving(runtime: MeshRuntime, link: Link, message: Any) -> None:
        tell(lambda listener, node: listener.heard(node, _end_of(link), message))
        receive(runtime, link, message)

    Link.post = posting  # type: ignore[method-assign, assignment]
    MeshRuntime.receive = receiving  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        Link.post, MeshRuntime.receive = post, receive  # type: ignore[method-assign]


@contextmanager
def _socket(_: MeshStage, tell: Tell) -> Iterator[None]:
    take = SimDatagramPort.take_waiting

    def taking(port: SimDatagramPort) -> list[Arrived | Refused]:
        taken = take(port)
        if taken:
            tell(lambda listener, node: listener.mail_read(node, taken))
        return taken

    SimDatagramPort.take_waiting = taking  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        SimDatagramPort.take_waiting = take  # type: ignore[method-assign]


@contextmanager
def _membership(stage: MeshStage, tell: Tell) -> Iterator[None]:
    receive, refused, look = Endpoint.receive, Endpoint.refused, Endpoint.handle_timer

    def receiving(
        endpoint: Endpoint,
        datagram: bytes,
        source: Address,
        now_s: float,
        arrived_s: float | None = None,
    ) -> list[Output]:
        at_s = now_s if arrived_s is None else arrived_s
        tell(lambda listener, node: listener.mail_handled(node, datagram, at_s))
        return receive(endpoint, datagram, source, now_s, arrived_s)

    def refusing(endpoint: Endpoint, to: Address, quoted: bytes, now_s: float) -> list[Output]:
        tell(lambda listener, node: listener.mail_handled(node, quoted, None))
        return refused(endpoint, to, quoted, now_s)

    def looking(endpoint: Endpoint, now_s: float) -> list[Output]:
        tell(lambda listener, node: listener.mail_due(node, stage.unread(node)))
        return look(endpoint, now_s)

    Endpoint.receive = receiving  # type: ignore[method-assign, assignment]
    Endpoint.refused = refusing  # type: ignore[method-assign, assignment]
    Endpoint.handle_timer = looking  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        Endpoint.receive = receive  # type: ignore[method-assign]
        Endpoint.refused = refused  # type: ignore[method-assign]
        Endpoint.handle_timer = look  # type: ignore[method-assign]


def _hears(listener: Listener) -> bool:
    """Whether it wants to know any of this."""
    names = ("said", "heard", "mail_read", "mail_handled", "mail_due")
    return any(getattr(type(listener), name) is not getattr(Listener, name) for name in names)


def _end_of(link: Any) -> Any:
    """The `sim.net.end.End` of a node's link."""
    return link._parts.stream.end
