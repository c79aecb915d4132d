"""Where events go: from frames and states to the views that keep them.

Rules
- A body of results of actions goes to its table as it is; everything else is decoded, one event at
  a time. What nobody can take for anything is counted against its writer and skipped.
- A window is right before a row of it is kept, so that views can tell what is new.
- A header without its body takes its place in its strand. The body may come later.

Not here: what the views make of it (`views`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import attrs

from mesh.log.frame import Frame
from mesh.log.model import FeedId, Lane
from mesh.state.actions import ActionView
from mesh.state.attestations import Taken, in_slices, is_result, split_results
from mesh.state.changes import Collected
from mesh.state.checkpoint import OpenedState, opening_state
from mesh.state.claims import POLICY_KEY, ClaimView, policy_view
from mesh.state.coverings import Covering
from mesh.state.events import (
    Absorb,
    ActionResult,
    Checkpoint,
    Deployment,
    Derivation,
    Event,
    Executions,
    LeafEvents,
    LeafLetGo,
    LeafProof,
    Open,
    Policy,
    Register,
    RunEvent,
    decode_event,
)
from mesh.state.leaves import LeafView
from mesh.state.ledger import Entry
from mesh.state.registers import RegisterView
from mesh.state.runs import RunView
from mesh.state.strands import Strand, Strands
from mesh.state.taint import TaintView
from mesh.state.windows import Windows
from mesh.types import Digest, NodeId
from mesh.wire.bytewise import ARRAY, head
from mesh.wire.errors import WireError

IN_PIECES = frozenset({Lane.AC, Lane.EXEC})
"""Lanes of many facts, each worth something without the others. On the other two an event takes the
place of others."""


@attrs.frozen
class Views:
    """All of them, over one set of strands."""

    strands: Strands
    windows: Windows
    actions: ActionView
    taint: TaintView
    registers: RegisterView
    policy: ClaimView
    deployments: ClaimView
    runs: RunView
    leaves: LeafView


def make_views(me: NodeId, windows: Windows, strands: Strands) -> Views:
    actions = ActionView(me, strands)
    return Views(
        strands=strands,
        windows=windows,
        actions=actions,
        taint=TaintView(actions, strands, windows),
        registers=RegisterView(),
        policy=policy_view(windows),
        deployments=ClaimView(),
        runs=RunView(windows),
        leaves=LeafView(),
    )


class Intake:
    """See the module's head."""

    def __init__(self, views: Views) -> None:
        self._views = views
        self._without_body: set[Digest] = set()

    # -- frames ------------------------------------------------------------------------------------
    def frame(self, frame: Frame, into: Collected) -> None:
        signed, strands = frame.signed, self._views.strands
        placed = strands.add(signed)
        if placed is not None:
            strand, is_new = placed
            if is_new or self._views.windows.is_cut(strand.feed.node):
                self.adjust(strand.feed.node, into, new=strand if is_new else None)
            if frame.body is None:
                self._without_body.add(signed.digest)
        elif frame.body is not None and signed.digest in self._without_body:
            self._without_body.discard(signed.digest)
            strand = strands.holder(signed)
        else:
            return
        if frame.body is not None:
            self._body(frame, strand, into)

    def adjust(self, node: NodeId, into: Collected, new: Strand | None = None) -> None:
        """Bring a writer's windows up to date."""
        for moved in self._views.windows.adjust(node):
            into.window(moved, is_new=moved.strand is new)

    def _body(self, frame: Frame, strand: Strand, into: Collected) -> None:
        assert frame.body is not None
        header = frame.signed.header
        if header.lane == Lane.AC:
            found = split_results(frame.body, len(head(ARRAY, header.count)))
            if found is not None:
                taken = self._views.actions.table.add_found(found, strand.index, header.seq)
                self._results(taken, strand, into)
                return
        results: list[bytes] = []
        for seq, data in enumerate(frame.events, header.seq):
            if header.lane == Lane.AC and is_result(data):
                results.append(data)
                continue
            self._flush(results, strand, seq, into)
            try:
                self._event(data, strand, seq, header.count, into)
            except WireError as error:
                into.refuse(strand, error.reason)
        self._flush(results, strand, frame.signed.end, into)

    def _flush(self, results: list[bytes], strand: Strand, end: int, into: Collected) -> None:
        """Take in the results that were before place `end`."""
        if results:
            first = end - len(results)
            taken = self._views.actions.table.add_events(results, strand.index, first)
            self._results(taken, strand, into)
            results.clear()

    def _results(self, taken: Taken, strand: Strand, into: Collected) -> None:
        into.actions += taken.actions
        into.judge.update(taken.known)
        self._views.taint.came(strand, taken.actions)

    def _event(self, data: bytes, strand: Strand, seq: int, count: int, into: Collected) -> None:
        event = decode_event(data, strand.feed.lane)
        assert not isinstance(event, ActionResult), "those are taken without decoding"
        entry = Entry(data, strand, seq, strand.dot(seq))
        if isinstance(event, Checkpoint):
            if count != 1:
                raise WireError("checkpoint", "not alone in its frame")
            self._checkpoint(entry, event, into)
        else:
            self._keep(entry, event, into)

    def _keep(self, entry: Entry, event: Event, into: Collected) -> None:
        """Give an event to the view that keeps it."""
        views = self._views
        if isinstance(event, Register):
            into.registers.add(views.registers.write(entry, event))
        elif isinstance(event, Executions | RunEvent):
            into.runs.add(views.runs.add(entry, event))
        elif isinstance(event, Derivation):
            views.taint.derived(entry, event)
        elif isinstance(event, Deployment):
            into.programs.add(views.deployments.add(event.program, entry))
        elif isinstance(event, Policy):
            views.policy.add(POLICY_KEY, entry)
            into.policy = True
        elif isinstance(event, LeafEvents | LeafProof | LeafLetGo):
            views.leaves.add(entry, event)
        elif isinstance(event, Open):
            self._open(entry, event, into)
        else:
            assert isinstance(event, Absorb)
            into.noted.add(views.registers.note(entry))

    def _open(self, entry: Entry, event: Open, into: Collected) -> None:
        feed = entry.dot.feed
        if entry.dot.seq != 0:
            raise WireError("open", "not the first event of its epoch")
        into.noted.add(self._views.registers.note(entry))
        if self._views.windows.opened(feed.node, feed.epoch, event.admission):
            self.adjust(feed.node, into)

    # -- checkpoints -------------------------------------------------------------------------------
    def _checkpoint(self, entry: Entry, event: Checkpoint, into: Collected) -> None:
        strand, seq = entry.strand, entry.seq
        feed = strand.feed
        for point in event.covers:
            if point.lane != feed.lane:
                raise WireError("covers", "another lane")
            if FeedId(feed.node, point.epoch, point.lane) == feed and point.count > seq:
                raise WireError("covers", "itself")
        self._views.windows.coverings.add(Covering(strand, seq, event.covers, event.state))
        if feed.lane == Lane.CTL:
            into.noted.add(self._views.registers.note(entry))

    def state(self, digest: Digest, data: bytes, rows_max: int) -> Iterator[Collected]:
        """A blob whose name is `digest` is here; nothing is done when no checkpoint needs it. In
        pieces of about so many rows; it covers something with the last of them."""
        for covering in self._views.windows.coverings.waiting_for(digest):
            feed, into = covering.strand.feed, Collected()
            opening = opening_state(data, feed.node, feed.lane, rows_max)
            try:
                opened = None
                while opened is None:
                    try:
                        next(opening)
                    except StopIteration as done:
                        opened = cast("OpenedState", done.value)
                    else:
                        yield Collected()
            except WireError as error:
                into.refuse(covering.strand, error.reason)
                self._views.windows.coverings.refuse(covering)
                yield into
                continue
            yield from self._rows_of(opened, covering, rows_max)
            yield from self._events_of(opened, covering, rows_max)

    def _rows_of(
        self, opened: OpenedState, covering: Covering, rows_max: int
    ) -> Iterator[Collected]:
        strand, seq = covering.strand, covering.seq
        for rows in in_slices(opened.rows, rows_max):
            into = Collected()
            taken = self._views.actions.table.add_packed(rows, strand.index, seq)
            self._results(taken, strand, into)
            yield into

    def _events_of(
        self, opened: OpenedState, covering: Covering, rows_max: int
    ) -> Iterator[Collected]:
        """What holds one value for each key comes all at once, so that no other one shows."""
        strand, seq = covering.strand, covering.seq
        pace = rows_max if strand.feed.lane in IN_PIECES else len(opened.events) + 1
        into = Collected()
        for number, (dot, data, event) in enumerate(opened.events, 1):
            try:
                self._keep(Entry(data, strand, seq, dot), event, into)
            except WireError as error:
                into.refuse(strand, error.reason)
            if number % pace == 0:
                yield into
                into = Collected()
        covering.is_loaded = True
        self.adjust(strand.feed.node, into)
        yield into
