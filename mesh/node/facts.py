"""What neighbours say about themselves that saves questions: their tools, and what they remember.

    tools      prefixes of the toolchains that a node has lately found to be there, byte for byte
    results    how many results it remembers, and the XOR of their names: equal means the same ones

Rules: each node tells its own, over the link that proves who it is, to whoever is linked; they are
not passed on, because everybody who could use them has a link. A change is told at once, but at
most one per TELL_EVERY_S. So facts that are older than SETTLED_S are what is so now, and only these
can say that a peer knows the same as we; with younger ones a result that was just made, perhaps for
us, would be made again. Who has said nothing is asked as ever. Bounded by the links.
Deliberately not here: asking (`ask`), handing out shards (`scheduler`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable

from mesh.cas.results import ResultCache
from mesh.limits import TOOLS_TOLD_MAX
from mesh.types import Digest, NodeId
from mesh.wire.messages import TOOLS_PREFIX_BYTES, NodeFacts

TELL_EVERY_S = 1.0
SETTLED_S = 2 * TELL_EVERY_S


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
    """Our facts and those of linked peers."""

    def __init__(
        self,
        results: ResultCache,
        tools: KnownTools,
        tell: Callable[[NodeFacts], None],
        now_s: Callable[[], float],
    ) -> None:
        self._results = results
        self._tools = tools
        self._tell = tell
        self._now_s = now_s
        self._told: NodeFacts | None = None
        self._told_s = -TELL_EVERY_S
        self._peers: dict[NodeId, tuple[NodeFacts, float]] = {}
        results.on_change = self._results_changed

    def own(self) -> NodeFacts:
        return NodeFacts(self._tools.told(), len(self._results), self._results.digest)

    def tell_changes(self) -> None:
        """To be called every TELL_EVERY_S."""
        told = self._told
        if told is not None and told.tools is self._tools.told() and self._same_results(told):
            return
        facts = self.own()
        if facts != told:
            self._told_s = self._now_s()
            self._tell(facts)
        self._told = facts

    def _results_changed(self) -> None:
        first = self._told is None or self._told.results == 0
        if first or self._now_s() - self._told_s >= TELL_EVERY_S:
            self.tell_changes()

    # -- peers -----------------------------------------------------------------------------------
    def heard(self, peer: NodeId, facts: NodeFacts) -> None:
        self._peers[peer] = (facts, self._now_s())

    def forget(self, peer: NodeId) -> None:
        self._peers.pop(peer, None)

    def worth_asking(self, peer: NodeId, actions: Iterable[Digest]) -> bool:
        """Whether the peer may know a result of these that we do not know. What we know and ask for
        nevertheless (its files are lost) may be whole there."""
        known = self._peers.get(peer)
        if known is None:
            return True
        facts, heard_s = known
        if facts.results == 0:
            return False
        if self._now_s() - heard_s < SETTLED_S:
            return True
        if not self._same_results(facts):
            return True
        return any(self._results.get(action) is not None for action in actions)

    def _same_results(self, facts: NodeFacts) -> bool:
        same_count = facts.results == len(self._results)
        return same_count and facts.results_digest == self._results.digest
