"""The action cache as everybody sees it: which outputs of an action are to be believed.

Rules
- A result counts for its writer, once, however often and from however many processes it was said.
- Whose word is enough is the policy: any builder's (the default), that of `k_attest` different
  ones, or one's own only. What one has built oneself is always enough for oneself.
- Two different outputs of one action are a **divergence**, whatever the policy makes of them. It
  names who says what, keeps both, and stays until only one is left: somebody lies, or the action is
  no pure function of its inputs.
- When outputs differ they are believed only if exactly one of them has enough builders.

So with k = 2 a builder that lies alone is never believed, and each of its lies that somebody else
has also built is a divergence.

Not here: fetching what a record names, and `taint`, which withholds what is derived from lies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import attrs

from mesh.state.attestations import Attestation, Attestations
from mesh.state.events import Trust
from mesh.state.strands import Strands
from mesh.state.windows import Moved
from mesh.types import Digest, NodeId


@attrs.frozen
class TrustPolicy:
    """Whose results are taken."""

    trust: Trust = Trust.ANY_BUILDER
    k_attest: int = 1


@attrs.frozen
class Claim:
    """One writer's word about an action."""

    builder: NodeId
    record: Digest
    source: int
    duration_ms: int


@attrs.frozen
class Trusted:
    """What came out of an action, to be believed."""

    action: Digest
    outputs: Digest
    claims: tuple[Claim, ...]
    """Who says so, by builder; any of the records will do."""


@attrs.frozen
class Divergent:
    """An action of which different things came out."""

    action: Digest
    sides: Mapping[Digest, tuple[Claim, ...]]
    """By outputs, in their order."""

    @property
    def builders(self) -> tuple[NodeId, ...]:
        return tuple(sorted({claim.builder for side in self.sides.values() for claim in side}))


class ActionView:
    """See the module's head. `me` is whose own results are always believed."""

    def __init__(self, me: NodeId, strands: Strands) -> None:
        self._me = me
        self._strands = strands
        self._table = Attestations()
        self._divergent: set[Digest] = set()

    def __len__(self) -> int:
        """Rows that are held, those that do not count included."""
        return len(self._table)

    @property
    def table(self) -> Attestations:
        return self._table

    # -- asking ------------------------------------------------------------------------------------
    def lookup(self, action: Digest, policy: TrustPolicy) -> Trusted | Divergent | None:
        """What is to be believed of an action; Divergent when nothing is because they differ."""
        sides = self.claims(action)
        enough = [outputs for outputs, side in sides.items() if self._is_enough(side, policy)]
        own = [outputs for outputs, side in sides.items() if self._is_ours(side)]
        for believed in (own, enough):
            if len(believed) == 1:
                return Trusted(action, believed[0], sides[believed[0]])
        return Divergent(action, sides) if len(sides) > 1 else None

    def claims(self, action: Digest) -> dict[Digest, tuple[Claim, ...]]:
        """All that counts about an action, by outputs; of each builder one record."""
        sides: dict[Digest, dict[NodeId, Claim]] = {}
        for row in self._table.of(action):
            strand = self._strands[row.strand]
            if strand.counts(row.seq):
                side = sides.setdefault(row.result.outputs, {})
                claim = _claim(strand.feed.node, row)
                known = side.get(claim.builder)
                if known is None or _order(claim) < _order(known):
                    side[claim.builder] = claim
        return {
            outputs: tuple(sides[outputs][builder] for builder in sorted(sides[outputs]))
            for outputs in sorted(sides)
        }

    def divergences(self) -> tuple[Divergent, ...]:
        """All that stand, by action."""
        return tuple(Divergent(action, self.claims(action)) for action in sorted(self._divergent))

    def _is_ours(self, side: tuple[Claim, ...]) -> bool:
        return any(claim.builder == self._me for claim in side)

    def _is_enough(self, side: tuple[Claim, ...], policy: TrustPolicy) -> bool:
        if policy.trust is Trust.OWN:
            return self._is_ours(side)
        wanted = policy.k_attest if policy.trust is Trust.K_BUILDERS else 1
        return len(side) >= wanted

    def kept(self, node: NodeId) -> list[bytes]:
        """Rows of this node that count, many in each piece: what its checkpoint says."""
        return [
            rows
            for strand in self._strands.of_node(node)
            for rows in self._table.between(strand.index, strand.low, strand.high)
        ]

    def all(self) -> list[Digest]:
        """Actions of which there are rows, in order. Looks at every row."""
        return sorted({self._table.action(row) for row in range(1, len(self._table) + 1)})

    # -- folding -----------------------------------------------------------------------------------

    def moved(self, moved: Iterable[Moved], rows_max: int) -> Iterator[list[Digest]]:
        """Actions of which a row counts that did not, or the other way round, piece by piece."""
        return self._table.moved({each.strand.index: each for each in moved}, rows_max)

    def judge(self, actions: Iterable[Digest]) -> tuple[set[Digest], set[Digest]]:
        """Look at actions again: those that diverge now, and those that do no more."""
        raised: set[Digest] = set()
        settled: set[Digest] = set()
        for action in dict.fromkeys(actions):
            diverges, did = self._diverges(action), action in self._divergent
            if diverges and not did:
                raised.add(action)
            elif did and not diverges:
                settled.add(action)
        self._divergent |= raised
        self._divergent -= settled
        return raised, settled

    def _diverges(self, action: Digest) -> bool:
        if len(self._table.outputs_of(action)) < 2:  # nearly always
            return False
        outputs = {
            row.result.outputs
            for row in self._table.of(action)
            if self._strands[row.strand].counts(row.seq)
        }
        return len(outputs) > 1

    def is_mostly_dead(self) -> bool:
        """Whether most rows are covered, or were forgotten."""
        return 2 * self._table.dead(lambda strand: self._strands[strand].low) > len(self._table)

    def compacting(self, rows_max: int) -> Iterator[None]:
        """Throw those away, piece by piece: what was so at the beginning."""
        lows = {strand.index: strand.low for strand in self._strands.all}
        for fresh in self._table.compacting(lambda strand: lows.get(strand, 0), rows_max):
            if fresh is not None:
                self._table = fresh
            yield


def _claim(builder: NodeId, row: Attestation) -> Claim:
    result = row.result
    return Claim(builder, result.record, result.source, result.duration_ms)


def _order(claim: Claim) -> tuple[int, int, Digest]:
    """Of several records of one builder for the same outputs the same one is shown everywhere."""
    return claim.source, claim.duration_ms, claim.record
