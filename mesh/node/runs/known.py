"""Results that are known already: the mesh's view says which; the records and files are fetched.

A hit is only a hit when the policy believes it, its record is signed by the builder that the view
names, its outputs are exactly what the action declares, and all its blobs are in our store by the
time it is returned. Everything else is a miss, and the action simply runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from mesh.action.model import EXECUTABLE, FILE, Result, SignedResult, check_outputs
from mesh.errors import EnvironmentFault
from mesh.limits import FETCH_SOURCES_MAX, OUTPUT_LOG_BYTES_MAX, RECORD_BLOB_BYTES_MAX
from mesh.node.blobs import Expected
from mesh.node.runs.parts import RunParts
from mesh.node.state.results import Known
from mesh.planners.resolve import Resolved
from mesh.types import Digest, NodeId
from mesh.wire.errors import WireError

RECORDS_PER_ACTION = 2
"""Records fetched of one action: any will do, and a builder may be gone."""
UNLINKED_ASKED_MAX = 4
"""Members without a link that are asked when nobody who is linked has a file: each may cost a dial
that times out, once."""


@attrs.frozen
class Hit:
    """A verified result whose blobs are here."""

    result: Result
    builder: str
    """Name of the node that built it."""


class KnownActions:
    """Looks results up for one run."""

    def __init__(self, parts: RunParts) -> None:
        self._parts = parts

    async def here(self, resolved: Resolved) -> Hit | None:
        """One whose record is here already."""
        if not resolved.cacheable:
            return None
        hit = await self._here(resolved)
        if hit is None and resolved.as_good is not None:
            hit = await self._here(attrs.evolve(resolved, digest=resolved.as_good))
        return hit

    async def _here(self, resolved: Resolved) -> Hit | None:
        known = self._parts.results.lookup(resolved.digest)
        return None if known is None else await self._open(resolved, known)

    async def elsewhere(self, wanted: Sequence[Resolved]) -> list[Hit | None]:
        """Those of which we only know that others have them; all their records are fetched at once.
        In the order of `wanted`."""
        results = self._parts.results
        hits: list[Hit | None] = [None] * len(wanted)
        lacked: dict[int, Known] = {}
        records: dict[Digest, None] = {}
        sources: dict[NodeId, None] = {}
        for position, resolved in enumerate(wanted):
            known = results.lookup(resolved.digest) if resolved.cacheable else None
            if known is not None and (missing := results.lacks(known)):
                lacked[position] = known
                records.update(dict.fromkeys(missing[:RECORDS_PER_ACTION]))
                sources.update(dict.fromkeys(known.builders))
        if lacked:
            await self._parts.blobs.fetch(
                records, self._sources(sources), None, Expected(max_bytes=RECORD_BLOB_BYTES_MAX)
            )
        for position, known in lacked.items():
            hits[position] = await self._open(wanted[position], known)
        return hits

    def _sources(self, builders: Iterable[NodeId]) -> list[NodeId]:
        """Whom to ask: who has made it, then who may have used it; last those whose link is still
        to come. A node that was started a moment ago knows from one peer what all have built, and
        would build again what only another one can give."""
        near = self._parts.near_first()
        makers = list(builders)
        first = [node for node in makers if node in near]
        others = [node for node in near if node not in first]
        apart = sorted(self._parts.unlinked(), key=lambda node: (node not in makers, node))
        return [*first, *others[:FETCH_SOURCES_MAX], *apart[:UNLINKED_ASKED_MAX]]

    async def bring(self, result: Result, sources: Sequence[NodeId]) -> bool:
        """Have all blobs of a result in our store."""
        files = [entry for entry in result.outputs if entry.kind in (FILE, EXECUTABLE)]
        sizes = {entry.digest: entry.size_bytes for entry in files}
        return await self._fetch(sizes | _log_sizes(result), sources)

    async def bring_logs(self, result: Result, sources: Sequence[NodeId]) -> bool:
        """The same for what it printed alone."""
        return await self._fetch(_log_sizes(result), sources)

    def remember(self, signed: SignedResult, result: Result, action: Digest) -> None:
        """Keep what we were handed and have verified. Losing it costs time only."""
        try:
            self._parts.results.learn(action, signed, result)
        except (EnvironmentFault, OSError):
            self._parts.counters.add("hit.not-kept")

    async def _fetch(self, sizes: dict[Digest, int], sources: Sequence[NodeId]) -> bool:
        if not self._parts.store.missing(sizes):
            return True
        return not await self._parts.blobs.fetch(sizes, sources, None, Expected(sizes))

    async def _open(self, resolved: Resolved, known: Known) -> Hit | None:
        opened = self._parts.results.open(resolved.digest, known)
        if opened is None:
            return None
        result = opened.result
        try:
            check_outputs(result.outputs, resolved.action)
        except WireError as error:
            self._parts.counters.add(f"hit.{error.reason}")
            return None
        if result.exit_status != 0:
            return None
        if not await self.bring(result, self._sources(known.builders)):
            self._parts.counters.add("hit.outputs-gone")
            return None
        self._parts.results.came(resolved.digest)
        return Hit(result, self._parts.name_of(result.builder))


def is_whole(result: Result) -> bool:
    """Whether there is nothing to fetch and nothing to place."""
    return not result.outputs and not _log_sizes(result)


def _log_sizes(result: Result) -> dict[Digest, int]:
    """What must be fetched to show the output; a log that nobody could have made is left out."""
    logs = (result.stdout, result.stderr)
    return {
        log.digest: log.size_bytes
        for log in logs
        if len(log.inline) < log.size_bytes <= OUTPUT_LOG_BYTES_MAX
    }
