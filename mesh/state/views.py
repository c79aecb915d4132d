"""What the mesh knows together: frames in, one difference out, and views to ask.

    state = State(me, roster.standing())
    changes = state.apply(added.frames, added.forks)    whenever the log has grown
    changes = state.load(digest, blob)                  for each of `state.wanted()`
    changes = state.stand(roster.standing())            whenever the roster has changed

Rules
- The views are a pure function of the set of frames, fork proofs, states and of the standing. The
  order in which these become known, and how often, makes no difference; nor does it whether a
  frame that a checkpoint covers was ever here.
- Frames and proofs come from `mesh.log`, which has checked signatures and roots; blobs have been
  checked against their names. What an event says is checked here, and a bad one skipped.
- What may take long (a removal of somebody who built much, a large state, a fold anew) is done in
  slices when `slice_rows` is given: `go_on` while `is_behind`. What is looked up meanwhile is right
  of what has been taken in, since windows move at once; alarms and `Changes` come with the slices.
  In the end all is as if it had been done at once.
- No clock, no randomness, no I/O.

Not here: how a view comes about (`actions`, `registers`, `claims`, `runs`, `taint`), and which part
of a feed counts (`windows`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256

import attrs

from mesh.identity.standing import Cut, Standing
from mesh.log.forks import ForkProof
from mesh.log.frame import Frame
from mesh.log.model import FeedId, Lane
from mesh.state.actions import ActionView, Divergent, Trusted, TrustPolicy
from mesh.state.attestations import pack, split_rows
from mesh.state.changes import Changes, Collected, merged
from mesh.state.checkpoint import encode_state
from mesh.state.claims import Deployed, MeshPolicy, deployed, mesh_policy
from mesh.state.intake import IN_PIECES, Intake, Views, make_views
from mesh.state.leaves import LeafView
from mesh.state.ledger import Entry
from mesh.state.registers import RegisterKey, RegisterView
from mesh.state.runs import RunKey, RunView
from mesh.state.strands import Strands
from mesh.state.taint import Taint
from mesh.state.windows import Moved, Windows
from mesh.state.withdrawals import PREFIX, listed
from mesh.types import DIGEST_BYTES, Digest, NodeId

_AT_ONCE = 1 << 62
"""Rows of a slice when there are no slices."""


@attrs.frozen
class KeptState:
    """What our own next checkpoint of a lane says."""

    lane: Lane
    data: bytes = attrs.field(repr=False)
    """The blob."""
    rows: int


@attrs.frozen
class Draft:
    """The same, not yet sorted and encoded."""

    lane: Lane
    rows: Sequence[bytes] = attrs.field(repr=False)
    """Many in each piece."""
    entries: Sequence[Entry] = attrs.field(repr=False)
    derivations: Sequence[tuple[Digest, Entry]] = attrs.field(repr=False)
    """With the action each is about: kept when that is."""
    keep_action: Callable[[Digest], bool]

    def finish(self) -> KeptState:
        """Takes long when there is much; may be called in a thread."""
        found = {row for rows in self.rows for row in split_rows(rows)}
        kept = {row for row in found if self.keep_action(Digest(row[:DIGEST_BYTES]))}
        entries = list(self.entries)
        if self.derivations:
            actions = {row[:DIGEST_BYTES] for row in kept}
            entries += [entry for action, entry in self.derivations if action in actions]
        events = {entry.dot: entry.data for entry in entries}
        return KeptState(
            self.lane,
            encode_state(self.lane, pack(kept), events.items()),
            len(kept) + len(events),
        )


def _every(_action: Digest) -> bool:
    return True


class State:
    """See the module's head. Not thread-safe: the event loop owns it."""

    def __init__(self, me: NodeId, standing: Standing, slice_rows: int | None = None) -> None:
        """Without `slice_rows` every verb does all at once."""
        self.me = me
        self.slice_rows = slice_rows
        self._jobs: deque[tuple[object, Iterator[Collected]]] = deque()
        """What is left to do, and what it is about."""
        self._loading: set[Digest] = set()
        self._compacts = False
        strands = Strands()
        self._windows = Windows(strands, standing)
        self._views: Views = make_views(me, self._windows, strands)
        self._intake = Intake(self._views)
        self._wanted: tuple[Digest, ...] = ()

    # -- what becomes known ------------------------------------------------------------------------
    def apply(
        self,
        frames: Iterable[Frame],
        forks: Iterable[ForkProof] = (),
        withdrawn: Iterable[FeedId] = (),
    ) -> Changes:
        """Take in what a log has added (`Added`), in any order, any number of times."""
        into = Collected()
        for proof in forks:
            self._fork(proof, into)
        for frame in frames:
            self._intake.frame(frame, into)
        return self._done(into, {feed.node for feed in withdrawn})

    def load(self, state: Digest, data: bytes) -> Changes:
        """Take in the state of a checkpoint: a blob of that name, which has been checked."""
        if state not in self._loading:
            self._loading.add(state)
            self._jobs.append((state, self._load(state, data)))
        return self._done(Collected())

    def stand(self, standing: Standing) -> Changes:
        """The roster says something else now."""
        into = Collected()
        nodes = self._windows.standing.differing(standing)
        self._windows.standing = standing
        for node in sorted(nodes):
            self._intake.adjust(node, into)
        into.policy = True  # who is an admin moves no window
        return self._done(into)

    def lost(self, feed: FeedId, below: int) -> Changes:
        """Bodies of a feed up to there are gone, and no checkpoint covers them."""
        into = Collected()
        self._windows.lost(feed, below)
        self._intake.adjust(feed.node, into)
        return self._done(into)

    def refold(self, node: NodeId, frames: Iterable[Frame]) -> Changes:
        """Forget a node's events and take these in their place: all that the log has of it, in any
        order; what is on lanes that are IN_PIECES should come last."""
        into, job = Collected(), (self.refold, node)
        self._jobs = deque(each for each in self._jobs if each[0] != job)
        for moved in self._windows.forget(node):
            into.window(moved, is_new=False)
        rest = iter(frames)
        for frame in rest:
            self._intake.frame(frame, into)
            if frame.feed.lane in IN_PIECES:
                break
        self._jobs.append((job, self._fold(rest)))
        return self._done(into)

    # -- slices ------------------------------------------------------------------------------------
    @property
    def is_behind(self) -> bool:
        """Whether there is something left to do."""
        return bool(self._jobs) or (self.slice_rows is not None and self._views.taint.is_old)

    def go_on(self) -> Changes:
        """Do the next slice."""
        parts, room = list[Changes](), self.slice_rows or 1
        if not self._jobs and self.is_behind:
            self._jobs.append((self._views.taint, self._renew_taint()))
        while self._jobs and room > 0:
            _, job = self._jobs[0]
            into = next(job, None)
            if into is None:
                self._jobs.popleft()
                continue
            room -= self._rows_max if into.rows is None else into.rows
            parts.append(self._settle(into))
        return merged(parts) if parts else Changes()

    @property
    def _rows_max(self) -> int:
        return self.slice_rows or _AT_ONCE

    def _done(self, into: Collected, again: Iterable[NodeId] = ()) -> Changes:
        """The end of a verb: one slice of what follows from it, or all of that."""
        was_behind = len(self._jobs) > 1
        parts = [self._settle(into, again)]
        while self._jobs and (self.slice_rows is None or not was_behind):
            parts.append(self.go_on())
            if self.slice_rows is not None:
                break
        return merged(parts)

    def _load(self, state: Digest, data: bytes) -> Iterator[Collected]:
        yield from self._intake.state(state, data, self._rows_max)
        self._loading.discard(state)
        yield Collected(rows=0)  # it may be wanted again, by another checkpoint

    def _fold(self, frames: Iterator[Frame]) -> Iterator[Collected]:
        into = Collected(rows=0)
        for frame in frames:
            self._intake.frame(frame, into)
            into.rows = (into.rows or 0) + frame.signed.header.count
            if into.rows >= self._rows_max:
                yield into
                into = Collected(rows=0)
        yield into

    def _look_again(self, moved: Sequence[Moved]) -> Iterator[Collected]:
        """At the actions that windows have moved over."""
        for actions in self._views.actions.moved(moved, self._rows_max):
            into = Collected(rows=len(actions))
            into.actions = sorted(set(actions))
            into.judge.update(actions)
            yield into

    def _renew_taint(self) -> Iterator[Collected]:
        for _ in self._views.taint.renewing(self._rows_max):
            yield Collected()

    def _compact_actions(self) -> Iterator[Collected]:
        if self._views.actions.is_mostly_dead():
            for _ in self._views.actions.compacting(self._rows_max):
                yield Collected()
        self._compacts = False

    def needs_again(self, node: NodeId) -> bool:
        """Whether events of a node are missing here that count (`Changes.again` said so)."""
        return self._windows.coverings.needs_again(node)

    def lacks_own(self) -> bool:
        """Whether a state that we once wrote is not here: a checkpoint would leave it out."""
        return self._windows.coverings.is_wanted_of(self.me)

    def covered(self) -> dict[FeedId, int]:
        """Up to where feeds are replaced by states that are here: those bodies are not needed."""
        coverings = self._windows.coverings
        return {
            feed: low
            for node in self._views.strands.nodes()
            for feed, low in coverings.lows(node).items()
        }

    def wanted(self) -> tuple[Digest, ...]:
        """States of checkpoints that are needed, those that cover most first. After each that is
        loaded, others may not be needed any more."""
        return self._wanted

    # -- asking ------------------------------------------------------------------------------------
    def lookup(
        self, action: Digest, policy: TrustPolicy | None = None
    ) -> Trusted | Divergent | None:
        """What is to be believed of an action, by the mesh's policy unless another is given. None:
        nothing, or nothing that may be offered."""
        if self.taint_has(action):
            return None
        return self._views.actions.lookup(action, policy or self.policy().actions)

    def taint_has(self, action: Digest) -> bool:
        """Whether nothing of an action may be offered, whoever built it. While `is_behind`: whether
        that may be."""
        if self.slice_rows is None:
            self._views.taint.renew()
        return self._views.taint.is_tainted(action)

    def policy(self) -> MeshPolicy:
        return mesh_policy(self._views.policy)

    def deployed(self, program: str) -> Deployed | None:
        return deployed(self._views.deployments, program)

    def programs(self) -> Sequence[str]:
        return self._views.deployments.keys()

    def taint(self, node: NodeId | None = None, *, at_once: bool = True) -> Taint:
        """What is withheld, on account of one node or of all. Without `at_once`: as it was
        when that was last looked at."""
        if at_once:
            self._views.taint.renew()
        return self._views.taint.of(node)

    def cuts_of(self, node: NodeId, epoch: bytes) -> tuple[Cut, ...]:
        """The removals that an epoch is judged by, given how it was opened."""
        return self._windows.cuts_of(node, epoch)

    def is_disputed(self, node: NodeId) -> bool:
        """Whether a node has signed two histories and is not removed: nobody gives it work."""
        return self._windows.is_disputed(node)

    @property
    def actions(self) -> ActionView:
        return self._views.actions

    @property
    def registers(self) -> RegisterView:
        return self._views.registers

    @property
    def runs(self) -> RunView:
        return self._views.runs

    @property
    def leaves(self) -> LeafView:
        return self._views.leaves

    # -- checkpoints -------------------------------------------------------------------------------
    def checkpoint(
        self,
        lane: Lane,
        keep_action: Callable[[Digest], bool] = _every,
        keep_run: Callable[[RunKey], bool] = lambda _run: True,
    ) -> Draft:
        """The state of one of our own lanes, to be named by a checkpoint that covers all we have
        written on it. What is not to be kept is gone for everybody."""
        if lane == Lane.AC:
            views = self._views
            rows, derivations = views.actions.kept(self.me), views.taint.kept(self.me)
            return Draft(lane, rows, (), derivations, keep_action)
        return Draft(lane, (), self._kept(lane, keep_run), (), keep_action)

    def _kept(self, lane: Lane, keep_run: Callable[[RunKey], bool]) -> list[Entry]:
        views = self._views
        if lane == Lane.CTL:
            epochs = self._windows.living_epochs(self.me)
            return [*views.registers.kept(self.me, epochs), *views.policy.kept(self.me)]
        if lane == Lane.EXEC:
            return list(views.runs.kept(self.me, keep_run))
        if lane == Lane.LEAF:
            return list(views.leaves.kept(self.me))
        return list(views.deployments.kept(self.me)) if lane == Lane.DEP else []

    # -- folding -----------------------------------------------------------------------------------
    def _fork(self, proof: ForkProof, into: Collected) -> None:
        node, was_disputed = proof.feed.node, self._windows.is_disputed(proof.feed.node)
        if self._windows.forked(proof.feed, proof.seq):
            self._intake.adjust(node, into)
            if self._windows.is_disputed(node) and not was_disputed:
                into.disputed.append(node)

    def _settle(self, into: Collected, again: Iterable[NodeId] = ()) -> Changes:
        """Let the views look at what is different."""
        views, moved = self._views, list(into.moved.values())
        if moved:
            self._jobs.append((None, self._look_again(moved)))
        raised, settled = views.actions.judge(into.judge)
        views.taint.moved(moved)
        keys, noted = views.registers.moved(moved)
        registers = views.registers.judge(into.registers | keys, into.noted | noted)
        self._look_at_withdrawals(registers, into)
        programs = views.deployments.judge(into.programs | views.deployments.moved(moved))
        policies = views.policy.all_keys() if into.policy else views.policy.moved(moved)
        changes = Changes(
            actions=into.actions,
            diverged=tuple(sorted(raised)),
            settled=tuple(sorted(settled)),
            registers=tuple(sorted(registers)),
            programs=tuple(sorted(programs)),
            runs=tuple(sorted(into.runs | views.runs.moved(moved))),
            leaves=tuple(sorted(views.leaves.judge(views.leaves.moved(moved)))),
            policy=bool(views.policy.judge(policies)),
            disputed=tuple(sorted(into.disputed)),
            wanted=self._want(),
            again=tuple(sorted({*again, *self._needed_again(into)})),
            refused={node: dict(counts) for node, counts in into.refused.items()},
        )
        self._compact(moved)
        return changes

    def _look_at_withdrawals(self, registers: Iterable[RegisterKey], into: Collected) -> None:
        """Registers of admins have a say in what is tainted."""
        if into.policy or any(key.startswith(PREFIX) for _, key in registers):
            views = self._views
            standing = self._windows.standing
            views.taint.list_withdrawn(listed(dict(views.registers.items()), standing))

    def _want(self) -> tuple[Digest, ...]:
        wanted = self._windows.coverings.wanted()
        before = self._wanted
        self._wanted = tuple(state for state in wanted if state not in self._loading)
        return tuple(state for state in self._wanted if state not in before)

    def _needed_again(self, into: Collected) -> set[NodeId]:
        nodes = {moved.strand.feed.node for moved in into.moved.values()}
        return {node for node in nodes if self._windows.coverings.needs_again(node)}

    def _compact(self, moved: Sequence[Moved]) -> None:
        """After windows have closed from below: throw away what is covered."""
        if not any(each.strand.low > each.low for each in moved):
            return
        views = self._views
        if not self._compacts:
            self._compacts = True
            self._jobs.append((None, self._compact_actions()))
        for view in (views.taint, views.registers, views.policy, views.deployments, views.runs):
            view.compact()
        views.leaves.compact()
        self._windows.coverings.rows_dropped()

    # -- the same everywhere -----------------------------------------------------------------------
    def digest(self) -> Digest:
        """SHA-256 over all that the views show, as it would be at every replica but for whose own
        results are believed. Looks at everything: for tests and simulations."""
        return Digest(sha256(repr(self._shown()).encode()).digest())

    def _shown(self) -> tuple[object, ...]:
        views = self._views
        claims = sorted(
            (action, [(outputs, side) for outputs, side in sides.items()])
            for action in views.actions.all()
            if (sides := views.actions.claims(action))
        )
        programs = [(each, self.deployed(each)) for each in self.programs()]
        runs = [views.runs.get(*key) for key in views.runs.all()]
        taint = self.taint()
        leaves = views.leaves.shown()
        return claims, views.registers.items(), programs, runs, leaves, self.policy(), taint
