"""What a line to a leaf is made of: its settings, and whom it asks and tells."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import attrs

from mesh.leaf.events import Stream
from mesh.leaf.messages import Event, Proof
from mesh.leaf.segment import Segment
from mesh.ports import Env
from mesh.types import NodeId

if TYPE_CHECKING:
    from mesh.node.leaves.line import Line


class LeafSilentError(Exception):
    """No answer, or the session ended meanwhile."""


@attrs.frozen
class LineConfig:
    port: str
    """A serial device, `tcp:HOST:PORT` or `unix:PATH`."""
    baud: int = 115_200
    answer: tuple[str, ...] = ()
    """Command that answers questions of rules; empty: nobody does."""


@attrs.frozen
class LineParts:
    """Whom a line asks and tells."""

    env: Env
    admitted: Callable[[NodeId], bool]
    stream: Callable[[NodeId, bytes], Stream]
    """(leaf, boot nonce) -> what is kept of that start."""
    keep: Callable[[NodeId, Segment], Awaitable[Any]]
    """Write events down. Raises OSError, MeshError."""
    proved: Callable[[NodeId, bytes, bytes, Proof], None]
    """(leaf, boot nonce, nonce, proof): it has signed how far its events are."""
    changed: Callable[[Line], None]
    asked: Callable[[Line, NodeId, Event], None]
    """A rule has a question; called once for each."""
