"""A small mesh that writes logs: real keys and frames, no time and no network.

A `Writer` is one node's key with its epochs; it writes what an honest node would, and, when told
to, what a dishonest one would. A `World` has all frames, proofs, states of checkpoints and what the
roster says of everybody.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from hashlib import sha256

import attrs

from mesh.identity.keys import NodeKey
from mesh.identity.records import FeedPoint
from mesh.identity.roles import Role
from mesh.identity.standing import Cut, Life, Standing, cut_order
from mesh.log.forks import ForkProof, fork_of
from mesh.log.frame import Frame, seal
from mesh.log.model import EMPTY, Dot, FeedId, Head, Lane
from mesh.state.events import (
    Absorb,
    ActionResult,
    Checkpoint,
    DotRef,
    Event,
    Open,
    encode_event,
)
from mesh.state.views import State
from mesh.types import Digest, MeshId, NodeId, digest_of

MESH = MeshId(bytes(range(32)))


@cache
def key_of(name: str) -> NodeKey:
    return NodeKey(sha256(name.encode()).digest())


def digest(name: object) -> Digest:
    return digest_of(str(name).encode())


def result(action: object, outputs: object = "good", *, record: object = "", ms: int = 7) -> Event:
    """A result of an action; names stand for digests."""
    return ActionResult(digest(action), digest(f"{action}>{outputs}"), digest(record), 0, ms)


@attrs.define
class Writer:
    """One node."""

    name: str
    frames: list[Frame] = attrs.field(factory=list)
    heads: dict[FeedId, Head] = attrs.field(factory=dict)
    """What the node knows of its own feeds."""
    epoch: bytes = b""
    starts: int = 0
    life: int = 0

    @property
    def node(self) -> NodeId:
        return key_of(self.name).node_id

    @property
    def admission(self) -> bytes:
        return digest((self.name, "admission", self.life))[:16]

    def feed(self, lane: Lane) -> FeedId:
        return FeedId(self.node, self.epoch, int(lane))

    # -- what an honest node does ------------------------------------------------------------------
    def start(self) -> Writer:
        """A new process: a new epoch after all that the node knows."""
        known = self.points()
        self.starts += 1
        self.epoch = digest((self.name, "epoch", self.starts))[:8]
        self.write(Lane.CTL, Open(self.admission, known, self.name))
        return self

    def write(self, lane: Lane, *events: Event) -> list[Dot]:
        """One frame with these events."""
        feed = self.feed(lane)
        parent = self.heads.get(feed, EMPTY)
        frame = self.sealed(feed, parent, [encode_event(event) for event in events])
        self.frames.append(frame)
        self.heads[feed] = frame.signed.head
        return [Dot(feed, parent.count + at) for at in range(len(events))]

    def points(self, lane: Lane | None = None) -> tuple[FeedPoint, ...]:
        """What it knows of its own feeds, as events name it."""
        return tuple(
            FeedPoint(feed.epoch, feed.lane, head.count, head.digest)
            for feed, head in sorted(self.heads.items(), key=lambda each: each[0])
            if lane is None or feed.lane == lane
        )

    def absorb(self) -> None:
        """Learn of all own epochs, and say so."""
        self.heads = {frame.feed: frame.signed.head for frame in self.frames}
        known = tuple(point for point in self.points() if point.epoch != self.epoch)
        self.write(Lane.CTL, Absorb(known))

    def restored(self, frames_left: int) -> None:
        """The disk is an old copy: only the first frames are known; the mesh has them all."""
        self.heads = {frame.feed: frame.signed.head for frame in self.frames[:frames_left]}
        self.start()

    # -- what a dishonest one does -----------------------------------------------------------------
    def forks(self, at: int, *events: Event) -> tuple[Frame, ForkProof]:
        """Sign a second frame on the parent of the frame `at`."""
        old = self.frames[at].signed
        parent = Head(old.seq, Digest(old.header.prev)) if old.seq else EMPTY
        frame = self.sealed(old.feed, parent, [encode_event(event) for event in events])
        return frame, fork_of(old, frame.signed)

    def sealed(self, feed: FeedId, parent: Head, events: Sequence[bytes]) -> Frame:
        key = key_of(self.name)
        return seal(key.sign, MESH, feed, parent, events, wall_ms=0, seen=bytes(8))


@attrs.define
class World:
    """See the module's head."""

    writers: dict[str, Writer] = attrs.field(factory=dict)
    roles: dict[str, dict[int, Role]] = attrs.field(factory=dict)
    """Of each node's admissions, by number."""
    cuts: dict[str, dict[int, list[Cut]]] = attrs.field(factory=dict)
    """Of removals, by node and by the admission that they ended."""
    proofs: list[ForkProof] = attrs.field(factory=list)
    states: dict[Digest, bytes] = attrs.field(factory=dict)

    def join(self, name: str, role: Role = Role.BUILDER) -> Writer:
        writer = self.writers[name] = Writer(name)
        self.roles[name] = {0: role}
        return writer.start()

    def remove(self, name: str, cut: Iterable[FeedPoint] = ()) -> None:
        """End the node's present admission, keeping this much of its log."""
        life = self.writers[name].life
        ordered = tuple(sorted(cut, key=lambda point: (point.epoch, point.lane)))
        self.cuts.setdefault(name, {}).setdefault(life, []).append(ordered)

    def readmit(self, name: str, role: Role = Role.BUILDER) -> None:
        """A new admission, and a new process under it."""
        writer = self.writers[name]
        writer.life += 1
        self.roles[name][writer.life] = role
        writer.start()

    def fork(self, name: str, at: int, *events: Event) -> Frame:
        """An equivocation, and the proof of it."""
        frame, proof = self.writers[name].forks(at, *events)
        self.writers[name].frames.append(frame)
        self.proofs.append(proof)
        return frame

    def checkpoint(self, name: str, lane: Lane) -> None:
        """The node writes a checkpoint of all it knows of a lane, from its own view."""
        writer = self.writers[name]
        covers = writer.points(lane)
        if covers:
            kept = self.fold(me=writer.node).checkpoint(lane).finish()
            state = digest_of(kept.data)
            self.states[state] = kept.data
            writer.write(lane, Checkpoint(covers, state, len(kept.data), kept.rows))

    @property
    def frames(self) -> list[Frame]:
        return [frame for writer in self.writers.values() for frame in writer.frames]

    def standing(self) -> Standing:
        lives, cuts = {}, {}
        for name, writer in self.writers.items():
            ended = self.cuts.get(name, {})
            lives[writer.node] = tuple(
                sorted(
                    (
                        Life(
                            digest((name, "admission", life))[:16],
                            role,
                            tuple(sorted(set(ended.get(life, ())), key=cut_order)),
                        )
                        for life, role in self.roles[name].items()
                    ),
                    key=lambda life: life.ref,
                )
            )
            if ended:
                every = {cut for each in ended.values() for cut in each}
                cuts[writer.node] = tuple(sorted(every, key=cut_order))
        return Standing(lives, cuts)

    def fold(self, frames: Iterable[Frame] | None = None, me: NodeId | None = None) -> State:
        """The batch: everything at once."""
        state = State(me or NodeId(bytes(32)), self.standing())
        state.apply(self.frames if frames is None else frames, self.proofs)
        self.load_wanted(state)
        return state

    def load_wanted(self, state: State) -> None:
        """What a driver does with wanted states, as long as there are any."""
        for _ in range(1000):
            wanted = [each for each in state.wanted() if each in self.states]
            if state.is_behind:
                state.go_on()
            elif not wanted:
                return
            else:
                state.load(wanted[0], self.states[wanted[0]])
        raise AssertionError("states are wanted for ever")


def ref(dot: Dot) -> DotRef:
    return DotRef.of(dot)
