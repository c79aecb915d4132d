"""Results that are known already: here first, then at the neighbours.

A hit is only a hit when its signature is good, its builder is admitted, its outputs are exactly
what the action declares, and all its blobs are in our store by the time it is returned. Everything
else is a miss, and the action simply runs.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from mesh.action.model import EXECUTABLE, FILE, Result, SignedResult, check_outputs
from mesh.action.signing import open_result
from mesh.errors import EnvironmentFault
from mesh.limits import OUTPUT_LOG_BYTES_MAX
from mesh.node.blobs import Expected
from mesh.node.runs.parts import RunParts
from mesh.planners.resolve import Resolved
from mesh.types import Digest, NodeId
from mesh.wire.errors import WireError


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
        """From our own cache."""
        if not resolved.cacheable:
            return None
        hit = await self._here(resolved)
        if hit is None and resolved.as_good is not None:
            hit = await self._here(attrs.evolve(resolved, digest=resolved.as_good))
        return hit

    async def _here(self, resolved: Resolved) -> Hit | None:
        signed = self._parts.results.get(resolved.digest)
        return None if signed is None else await self._open(resolved, signed, self._parts.me)

    async def at_neighbours(self, wanted: Sequence[Resolved]) -> list[Hit | None]:
        """From whoever is linked, nearest first; one question for all. In the order of `wanted`."""
        near_first = self._parts.near_first()
        positions: dict[bytes, list[int]] = {}
        for position, resolved in enumerate(wanted):
            if resolved.cacheable:
                positions.setdefault(resolved.digest, []).append(position)
        hits: list[Hit | None] = [None] * len(wanted)
        if not near_first or not positions:
            return hits
        actions = [wanted[where[0]].digest for where in positions.values()]
        for peer, known in await self._parts.asker.results(actions, near_first):
            where = positions.get(known.action, [])
            if where and hits[where[0]] is None:
                hit = await self._open(wanted[where[0]], known.result, peer)
                for position in where:
                    hits[position] = hit
        return hits

    async def bring(self, result: Result, sources: Sequence[NodeId]) -> bool:
        """Have all blobs of a result in our store."""
        files = [entry for entry in result.outputs if entry.kind in (FILE, EXECUTABLE)]
        sizes = {entry.digest: entry.size_bytes for entry in files}
        return await self._fetch(sizes | _log_sizes(result), sources)

    async def bring_logs(self, result: Result, sources: Sequence[NodeId]) -> bool:
        """The same for what it printed alone."""
        return await self._fetch(_log_sizes(result), sources)

    def remember(self, signed: SignedResult, action: Digest) -> None:
        """Keep a verified result. Losing it costs time only."""
        try:
            self._parts.results.put(signed, action)
        except (EnvironmentFault, OSError):
            self._parts.counters.add("hit.not-kept")

    async def _fetch(self, sizes: dict[Digest, int], sources: Sequence[NodeId]) -> bool:
        if not self._parts.store.missing(sizes):
            return True
        return not await self._parts.blobs.fetch(sizes, sources, None, Expected(sizes))

    async def _open(self, resolved: Resolved, signed: SignedResult, source: NodeId) -> Hit | None:
        try:
            result = open_result(signed, resolved.digest, self._parts.may_build)
            check_outputs(result.outputs, resolved.action)
        except WireError as error:
            self._parts.counters.add(f"hit.{error.reason}")
            return None
        if result.exit_status != 0:
            return None
        sources = [node for node in (source, result.builder) if node != self._parts.me]
        if not await self.bring(result, sources):
            self._parts.counters.add("hit.outputs-gone")
            return None
        if source != self._parts.me:
            self.remember(signed, resolved.digest)
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
