"""The action cache of a node: what the mesh says came out of actions, and the records to prove it.

    put(action, signed, result)     ours: the record becomes a blob, an event names it
    learn(action, signed, result)   somebody else's that was handed to us and has been verified
    lookup(action)                  what is to be believed, by the policy
    open(action, known)             its record, if that is here, verified

Rules
- Events say who built what (`mesh.state.actions`); the record is a blob like any other, named by
  its content, and holds the builder's signature. A record that is not what its event says is none.
- Between a result and the moment its event is in the view, `fresh` stands for it, so that a second
  run that follows at once finds everything. It is bounded, and no word of its own: only results
  that we have made or verified ourselves are in it.
- What a policy of this node's own demands goes before the mesh's if it is stricter.

Not here: fetching (`mesh.node.runs.known`), and how many copies are kept (`holders`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable

import attrs

from mesh.action.model import Result, SignedResult
from mesh.action.outcome import outcome_digest
from mesh.action.signing import open_result
from mesh.cas.blobs import BlobMissing, BlobStore
from mesh.errors import EnvironmentFault, InputChanged
from mesh.limits import EVENT_CONSUMED_MAX, EVENT_MS_MAX, FRESH_RESULTS_MAX, RECORD_BLOB_BYTES_MAX
from mesh.node.counters import Counters
from mesh.node.state.driver import SharedState
from mesh.state.actions import Divergent, Trusted, TrustPolicy
from mesh.state.changes import Changes
from mesh.state.events import BUILT, CONSUMED_BYTES, ActionResult, Derivation, Trust
from mesh.types import Digest, NodeId
from mesh.wire.errors import WireError
from mesh.wire.schema import decode_struct, encode_struct

SEAL_AT_ONCE_MS = 250
"""A result that took so long does not wait for others to share its signature: whoever hears that
the run is over, and starts the next one elsewhere, should find it."""


@attrs.frozen
class Known:
    """What came out of an action, to be believed; any of the records will do."""

    outputs: Digest
    records: tuple[tuple[Digest, NodeId], ...]
    """Names of record blobs, and their builders."""

    @property
    def builders(self) -> tuple[NodeId, ...]:
        return tuple(dict.fromkeys(builder for _, builder in self.records))


@attrs.frozen
class Opened:
    """A record that is here and good."""

    result: Result
    record: Digest
    """Name of its blob."""
    record_bytes: int


class ActionResults:
    """See the module's head."""

    def __init__(
        self, me: NodeId, store: BlobStore, state: SharedState, own_policy: TrustPolicy
    ) -> None:
        self._me = me
        self._store = store
        self._state = state
        self._own_policy = own_policy
        self._fresh: OrderedDict[Digest, Known] = OrderedDict()
        self._rows: set[Digest] = set()
        """Actions whose record is here, as far as `on_row` was told."""
        self.counters = Counters()
        self.on_row: Callable[[Digest], None] = lambda _action: None
        """Called when the record of an action came here, or its result is not believed any more."""
        state.on_changes.append(self._changed)

    def __len__(self) -> int:
        """Results that the mesh has told, and those that it has not been told yet."""
        told = len(self._state.replica.state.actions) if self._state.is_open else 0
        return told + len(self._fresh)

    # -- asking ----------------------------------------------------------------------------------
    @property
    def policy(self) -> TrustPolicy:
        """The mesh's, or ours where it is stricter."""
        mesh, own = self._state.replica.state.policy().actions, self._own_policy
        return TrustPolicy(max(mesh.trust, own.trust), max(mesh.k_attest, own.k_attest))

    @property
    def copies(self) -> int:
        """On how many machines the mesh's policy wants files of results; 0 before it is known."""
        return self._state.replica.state.policy().copies if self._state.is_open else 0

    def lookup(self, action: Digest) -> Known | None:
        """What is to be believed of an action; None: nothing, so it has to run."""
        self._state.roster_changed()
        state, policy = self._state.replica.state, self.policy
        found = state.lookup(action, policy)
        if isinstance(found, Trusted):
            return Known(found.outputs, tuple((c.record, c.builder) for c in found.claims))
        if isinstance(found, Divergent):
            self.counters.add("result.divergent")
            return None
        fresh = self._fresh.get(action)
        if fresh is None or state.taint_has(action):
            return None
        is_enough = policy.trust is Trust.ANY_BUILDER or self._me in fresh.builders
        return fresh if is_enough and self._still_builds(fresh) else None

    def open(self, action: Digest, known: Known) -> Opened | None:
        """The first of the records that is here and says what it should."""
        for record, builder in known.records:
            try:
                data = self._store.read(record, RECORD_BLOB_BYTES_MAX)
            except (BlobMissing, InputChanged, ValueError, EnvironmentFault, OSError):
                continue
            try:
                result = _open_record(data, action, builder, known.outputs)
            except WireError as error:
                self.counters.add(f"hit.{error.reason}")
                self.counters.add(f"lied.{builder.hex()[:16]}")
                continue
            return Opened(result, record, len(data))
        return None

    def here(self, action: Digest) -> Opened | None:
        """What is believed of an action, if its record is here."""
        known = self.lookup(action)
        return self.open(action, known) if known is not None else None

    def lacks(self, known: Known) -> list[Digest]:
        """The records of `known` if none of them is here."""
        records = [record for record, _ in known.records]
        return [] if any(self._store.has(record) for record in records) else records

    def rows(self) -> Iterable[Digest]:
        """Actions of which results are told or fresh; whether the records are here is not said."""
        return [*self._state.replica.state.actions.all(), *self._fresh]

    def _still_builds(self, known: Known) -> bool:
        lives = self._state.replica.standing.lives
        return all(any(not life.cuts for life in lives.get(b, ())) for b in known.builders)

    # -- telling ---------------------------------------------------------------------------------
    def put(
        self, action: Digest, signed: SignedResult, result: Result, source: int = BUILT
    ) -> None:
        """Keep our own result, and tell everybody. Raises StoreFull, StoreBroken: then nobody is
        told what nobody could fetch."""
        assert result.builder == self._me
        known = self._keep(action, signed, result)
        duration_ms = min(result.duration_ms, EVENT_MS_MAX)
        record = known.records[0][0]
        event = ActionResult(action, known.outputs, record, source, duration_ms)
        self._state.write(event)
        if result.duration_ms >= SEAL_AT_ONCE_MS:
            self._state.seal()

    def learn(self, action: Digest, signed: SignedResult, result: Result) -> None:
        """Keep a verified result of another builder, whose event is on its way. Raises StoreFull,
        StoreBroken."""
        self._keep(action, signed, result)

    def bring_in(self, brought: Iterable[ActionResult]) -> None:
        """Say again what we built in another mesh, as far as the records are still here."""
        for event in brought:
            if self._store.has(event.record):
                self._state.write(event)
                self.came(event.action)

    def derive(self, action: Digest, consumed: Iterable[Digest]) -> None:
        """Say from the outcomes of which actions this one was made."""
        names = sorted({outputs[:CONSUMED_BYTES] for outputs in consumed})
        for at in range(0, len(names), EVENT_CONSUMED_MAX):
            self._state.write(Derivation(action, tuple(names[at : at + EVENT_CONSUMED_MAX])))

    def came(self, action: Digest) -> None:
        """Its record is here."""
        if action not in self._rows:
            self._rows.add(action)
            self.on_row(action)

    def _keep(self, action: Digest, signed: SignedResult, result: Result) -> Known:
        record = self._store.put(encode_struct(signed))
        known = Known(outcome_digest(result), ((record, result.builder),))
        self._fresh[action] = known
        self._fresh.move_to_end(action)
        if len(self._fresh) > FRESH_RESULTS_MAX:
            self._fresh.popitem(last=False)
        self.came(action)
        return known

    def _changed(self, changes: Changes) -> None:
        if self._fresh:
            claims = self._state.replica.state.actions.claims
            for action in changes.actions:
                fresh = self._fresh.get(action)
                if fresh is not None and any(
                    claim.builder in fresh.builders
                    for side in claims(action).values()
                    for claim in side
                ):
                    del self._fresh[action]
        for action in self._rows.intersection(changes.actions):
            if self.lookup(action) is None:
                self._rows.discard(action)
                self.on_row(action)


def _open_record(data: bytes, action: Digest, builder: NodeId, outputs: Digest) -> Result:
    """What a record says. Raises WireError unless it is what an event of its builder says."""
    result = open_result(decode_struct(SignedResult, data), action, builder.__eq__)
    if outcome_digest(result) != outputs:
        raise WireError("other-outputs")
    return result
