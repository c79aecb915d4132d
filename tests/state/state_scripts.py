"""Worlds made of random steps, honest and not, and ways to tell them to a replica."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from hypothesis import strategies as st
from state_world import World, Writer, digest, ref, result

from mesh.identity.records import FeedPoint
from mesh.identity.roles import Role
from mesh.identity.standing import Standing
from mesh.log.frame import Frame
from mesh.log.model import Lane
from mesh.state.events import (
    CONSUMED_BYTES,
    Deployment,
    Derivation,
    Execution,
    Executions,
    Policy,
    Register,
    RunEvent,
)
from mesh.state.views import State
from mesh.types import RunId

NAMES = ("alice", "bob", "carol", "dave")
ACTIONS = 6
Step = tuple[str, int, int, int]


class Script:
    """Carries steps out. Every step is possible at any time, or does nothing."""

    def __init__(self) -> None:
        self.world = World()
        for name in NAMES:
            self.world.join(name, Role.ADMIN if name in NAMES[:2] else Role.BUILDER)

    def run(self, steps: Sequence[Step]) -> World:
        for what, who, a, b in steps:
            writer = self.world.writers[NAMES[who % len(NAMES)]]
            getattr(self, what)(writer, a, b)
        return self.world

    def results(self, writer: Writer, a: int, b: int) -> None:
        events = [
            result(f"a{(a + i) % ACTIONS}", "bad" if b % 5 == 0 else "good") for i in range(3)
        ]
        writer.write(Lane.AC, *events[: 1 + b % 3])

    def derivation(self, writer: Writer, a: int, b: int) -> None:
        low, high = sorted((a % ACTIONS, (a + 1 + b % (ACTIONS - 1)) % ACTIONS))
        consumed = digest(f"a{low}>{'bad' if b % 2 else 'good'}")[:CONSUMED_BYTES]
        writer.write(
            Lane.AC, Derivation(digest(f"a{high}"), (consumed,)), result(f"a{a % ACTIONS}")
        )

    def register(self, writer: Writer, a: int, b: int) -> None:
        value = None if b % 4 == 0 else str(b).encode()
        writer.write(Lane.CTL, Register(f"key{a % 2}", value))

    def deployment(self, writer: Writer, a: int, b: int) -> None:
        program = f"program{a % 2}"
        seen = self.world.fold(me=writer.node).deployed(program)
        dots = [dot for dot, _ in seen.standing] if seen else []
        gone = tuple(ref(dot) for dot in dots[: 1 + b % 2])
        writer.write(Lane.DEP, Deployment(program, digest(b), a % 4, (), b"", gone))

    def policy(self, writer: Writer, a: int, b: int) -> None:
        dots = self.world.fold(me=writer.node).policy().dots
        gone = tuple(ref(dot) for dot in dots[: 1 + b % 2])
        writer.write(Lane.CTL, Policy(a % 3, 1 + b % 3, 1 + a % 3, gone))

    def told(self, writer: Writer, a: int, b: int) -> None:
        run = RunId(digest(("run", a % 2))[:8])
        writer.write(Lane.EXEC, RunEvent(run, b % 4, "make", a % 9, 0))

    def execution(self, writer: Writer, a: int, b: int) -> None:
        run = RunId(digest(("run", a % 2))[:8])
        origin = self.world.writers[NAMES[b % 2]].node
        shards = tuple(Execution(b % 9 + each, 0, digest(a), 0, 1) for each in range(1 + a % 3))
        writer.write(Lane.EXEC, Executions(run, origin, shards))

    def restart(self, writer: Writer, a: int, b: int) -> None:
        writer.start()

    def restore(self, writer: Writer, a: int, b: int) -> None:
        writer.restored(1 + a % len(writer.frames))

    def absorb(self, writer: Writer, a: int, b: int) -> None:
        if not any(proof.feed.node == writer.node for proof in self.world.proofs):
            writer.absorb()

    def fork(self, writer: Writer, a: int, b: int) -> None:
        at = a % len(writer.frames)
        lane = writer.frames[at].feed.lane
        if lane == Lane.AC:
            self.world.fork(
                writer.name, at, result(f"a{b % ACTIONS}", f"forked {len(writer.frames)}")
            )
        elif lane == Lane.CTL:
            self.world.fork(
                writer.name, at, Register("key0", f"forked {len(writer.frames)}".encode())
            )

    def checkpoint(self, writer: Writer, a: int, b: int) -> None:
        self.world.checkpoint(writer.name, Lane(a % 4))

    def remove(self, writer: Writer, a: int, b: int) -> None:
        self.world.remove(writer.name, some_cut(writer, Random(a * 1000 + b)))

    def readmit(self, writer: Writer, a: int, b: int) -> None:
        if writer.life in self.world.cuts.get(writer.name, {}):
            self.world.readmit(writer.name)

    def life(self, writer: Writer, a: int, b: int) -> None:
        """Removed and admitted anew."""
        self.remove(writer, a, b)
        self.readmit(writer, a, b)

    def tidy(self, writer: Writer, a: int, b: int) -> None:
        self.world.checkpoint(writer.name, Lane.AC)


def some_cut(writer: Writer, random: Random) -> list[FeedPoint]:
    """Heads at random places of some of its feeds."""
    chosen: dict[tuple[bytes, int], FeedPoint] = {}
    for frame in writer.frames:
        feed, head = frame.feed, frame.signed.head
        key = (feed.epoch, feed.lane)
        if random.random() < (0.8 if key not in chosen else 0.6):
            chosen[key] = FeedPoint(feed.epoch, feed.lane, head.count, head.digest)
    return list(chosen.values())


EVERYTHING = (
    *("results",) * 5,
    *("derivation", "register", "register", "deployment", "policy", "told", "execution"),
    *("restart", "restore", "absorb", "fork", "checkpoint", "checkpoint", "remove", "readmit"),
)
HONEST = tuple(each for each in EVERYTHING if each != "fork")
LIVES = ("results", "results", "derivation", "life", "tidy")
"""What taint is made of, beside checkpoints."""
NO_CHECKPOINTS = tuple(each for each in EVERYTHING if each != "checkpoint")


def worlds(
    kinds: Sequence[str] = EVERYTHING, max_size: int = 25, writers: int = len(NAMES)
) -> st.SearchStrategy[World]:
    step = st.tuples(
        st.sampled_from(kinds),
        st.integers(0, writers - 1),
        st.integers(0, 99),
        st.integers(0, 99),
    )
    return st.lists(step, min_size=1, max_size=max_size).map(lambda steps: Script().run(steps))


def tell(
    world: World,
    random: Random,
    frames: Sequence[Frame] | None = None,
    watch: Callable[[State, object], None] = lambda _state, _changes: None,
    slice_rows: int | None = None,
) -> State:
    """Tell a replica all of a world: in random order and pieces, some twice, gaps filled later,
    the roster at some point in between, states whenever they are wanted or much later."""
    state = State(world.writers["alice"].node, Standing(), slice_rows)
    pieces: list[Frame | object] = list(world.frames if frames is None else frames)
    pieces += random.sample(pieces, len(pieces) // 3)
    pieces += world.proofs
    random.shuffle(pieces)
    at, stood = 0, False
    while at < len(pieces) or not stood:
        some = pieces[at : at + random.randint(1, 4)]
        at += len(some)
        told = [each for each in some if isinstance(each, Frame)]
        proofs = [each for each in some if not isinstance(each, Frame)]
        watch(state, state.apply(told, proofs))  # type: ignore[arg-type]
        if not stood and random.random() < 0.2:
            stood = True
            watch(state, state.stand(world.standing()))
        if state.wanted() and random.random() < 0.5:
            wanted = random.choice(state.wanted())
            watch(state, state.load(wanted, world.states[wanted]))
        if random.random() < 0.5:
            watch(state, state.go_on())
    world.load_wanted(state)
    return state


def again(world: World, state: State) -> State:
    """What a driver does: give nodes anew when the state asks for it."""
    for name in world.writers:
        writer = world.writers[name]
        if state.needs_again(writer.node):
            state.refold(writer.node, writer.frames)
            world.load_wanted(state)
    return state
