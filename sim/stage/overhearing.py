"""Overhearing the links of whole nodes: what is queued at one end, and what is handed over at the
other.

The nodes run as they are; only the two places are wrapped where a message enters and leaves a link.
Deliberately not here: what must hold of it (`sim.oracles.links`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mesh.node.link import Link
from mesh.node.runtime import MeshRuntime
from sim.machine.life import running_life

if TYPE_CHECKING:
    from sim.stage.mesh import MeshStage


def _end_of(link: Any) -> Any:
    """The `sim.net.end.End` of a node's link."""
    return link._parts.stream.end


@contextmanager
def watching_links(stage: MeshStage) -> Iterator[None]:
    """Tell the listeners of every message that is queued, and of every one that is handed over."""
    post, receive = Link.post, MeshRuntime.receive

    def posting(link: Link, message: object) -> None:
        if link.alive:
            for listener in stage.listeners:
                listener.said(_end_of(link), message)
        post(link, message)

    def receiving(runtime: MeshRuntime, link: Link, message: Any) -> None:
        life = running_life.get()
        if life is not None:
            node = stage.index_of(life.machine.name)
            for listener in stage.listeners:
                listener.heard(node, _end_of(link), message)
        receive(runtime, link, message)

    Link.post = posting  # type: ignore[method-assign]
    MeshRuntime.receive = receiving  # type: ignore[method-assign]
    try:
        yield
    finally:
        Link.post, MeshRuntime.receive = post, receive  # type: ignore[method-assign]
