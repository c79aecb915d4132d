"""What neighbours say about their tools: prefixes of the toolchains that a node has lately found to
be there, byte for byte.

Rules: each node tells its own, over the link that proves who it is, to whoever is linked; they are
not passed on, because everybody who could use them has a link. A change is told within
TELL_EVERY_S. Deliberately not here: handing out shards (`scheduler`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from mesh.limits import TOOLS_TOLD_MAX
from mesh.types import Digest
from mesh.wire.messages import TOOLS_PREFIX_BYTES, NodeFacts

TELL_EVERY_S = 1.0


class KnownTools:
    """The toolchains seen here last."""

    def __init__(self) -> None:
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._told: tuple[bytes, ...] | None = ()

    def saw(self, toolchain: Digest) -> None:
        """All of it is here."""
        prefix = toolchain[:TOOLS_PREFIX_BYTES]
        if prefix not in self._seen:
            self._told = None
        self._seen[prefix] = None
        self._seen.move_to_end(prefix)
        if len(self._seen) > TOOLS_TOLD_MAX:
            self._seen.popitem(last=False)

    def gone(self, toolchain: Digest) -> None:
        """Part of it was replaced or removed."""
        if toolchain[:TOOLS_PREFIX_BYTES] in self._seen:
            del self._seen[toolchain[:TOOLS_PREFIX_BYTES]]
            self._told = None

    def told(self) -> tuple[bytes, ...]:
        """The same object until something changes."""
        if self._told is None:
            self._told = tuple(sorted(self._seen))
        return self._told


class FactBoard:
    """Our facts, told to linked peers."""

    def __init__(self, tools: KnownTools, tell: Callable[[NodeFacts], None]) -> None:
        self._tools = tools
        self._tell = tell
        self._told: tuple[bytes, ...] = ()

    def own(self) -> NodeFacts:
        return NodeFacts(self._tools.told())

    def tell_changes(self) -> None:
        """To be called every TELL_EVERY_S."""
        tools = self._tools.told()
        if tools is not self._told and tools != self._told:
            self._tell(NodeFacts(tools))
        self._told = tools
