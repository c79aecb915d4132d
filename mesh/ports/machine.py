"""`Readings`: how this machine is doing; `Control`: where its user reaches the node.

Both are about the machine the node runs on, not about the mesh. A reading that the machine cannot
give is zero, never an error: it only makes the node know less.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol

import attrs

from mesh.wire.straight import quick

if TYPE_CHECKING:
    from mesh.ports import ByteStream


@quick
@attrs.frozen
class Load:
    """`cpu_percent` is over the time since the last reading, of all cores together, 0 to 100."""

    cpu_percent: int
    memory_free_mib: int


@quick
@attrs.frozen
class Pressure:
    """Share of the last 10 s, in percent, during which some task of the machine stood still for
    want of the resource (Linux PSI, the `some avg10` figures)."""

    cpu: float
    memory: float
    io: float


class Readings(Protocol):
    @property
    def process_id(self) -> int:
        """Ours, for people who want to look at it or end it."""
        ...

    @property
    def cores(self) -> int:
        """Processor cores that this process may use; at least 1."""
        ...

    def load(self) -> Load:
        """For one caller, about once a second."""
        ...

    def pressure(self) -> Pressure: ...

    def lag_s(self) -> float:
        """By how much our own event loop was late in the last seconds: the worst delay of a timer,
        one that is overdue now included. A node that is late itself must not judge others."""
        ...


class ControlListener(Protocol):
    """Where clients can connect from the moment it exists."""

    async def serve(self, handler: Callable[[ByteStream], Awaitable[None]]) -> None:
        """Accept until cancelled; each connection's handler runs as its own task and is closed
        after it. Only the user who runs the node and root get as far as the handler. A client that
        sends no more (half-close) is b"" from `receive_some`; it still receives."""
        ...

    async def aclose(self) -> None: ...


class Control(Protocol):
    """A unix socket in the node's home in the real world."""

    async def listen(self) -> ControlListener:
        """The directory's lock must be held: what an earlier process left here is replaced."""
        ...
