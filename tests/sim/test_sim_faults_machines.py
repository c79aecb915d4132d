"""What each kind of fault of processes, machines and clocks does, and how nodes come back."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from fault_stands import Effect, Effects, fault_of, pass_s, played, running, shows, whole

from mesh.swim.effects import State
from mesh.types import Address
from sim.faults import begin
from sim.stage.base import Listener
from sim.stage.membership import MembershipStage
from sim.stage.mesh import MeshStage

LONG_S = 40.0
"""By then everybody knows of an end or a return."""
OUTSIDER: Address = ("10.9.9.9", 4711)
"""Who asks a machine whether anybody listens: nobody else has used up its share of answers."""


def state(stage: MembershipStage, observer: int, subject: int) -> State | None:
    view = stage.view(observer, subject)
    return view.state if view is not None else None


def epoch(stage: MembershipStage, subject: int) -> int:
    view = stage.view(0, subject)
    assert view is not None
    return view.epoch


def is_refused(stage: MembershipStage, node: int) -> bool:
    """Whether somebody says that nobody listens at the node's address."""
    refusals: list[Any] = []
    stage.network.attach(OUTSIDER, lambda *_: None, refusals.append)
    stage.network.send(b"anybody there", OUTSIDER, stage.address(node))
    pass_s(stage, 1.0)
    stage.network.detach(OUTSIDER)
    return bool(refusals)


def ends_a_process(*, refuses: bool) -> Effect:
    """It is gone for all; its machine says so, or nobody does. It comes back as another life."""

    def effect(name: str) -> None:
        stage = running()
        before = epoch(stage, 1)
        undo = begin(stage, fault_of(name, 1))
        assert not stage.is_up(1)
        assert is_refused(stage, 1) == refuses
        pass_s(stage, LONG_S)
        assert all(state(stage, other, 1) != State.ALIVE for other in (0, 2))
        undo()
        assert stage.is_up(1)
        assert stage.life(1) == 2
        pass_s(stage, LONG_S)
        assert all(state(stage, other, 1) == State.ALIVE for other in (0, 2))
        assert epoch(stage, 1) > before

    return effect


def bounce(name: str) -> None:
    stage = running()
    before = epoch(stage, 1)
    begin(stage, fault_of(name, 1))()
    assert stage.is_up(1)
    assert stage.life(1) == 2
    pass_s(stage, LONG_S)
    assert epoch(stage, 1) > before
    assert state(stage, 0, 1) == State.ALIVE


def freeze(name: str) -> None:
    """It says nothing for 5 s, then goes on in the same life."""
    stage = running()
    said: list[Address] = []
    stage.tap(lambda _, source, __: said.append(source))
    undo = begin(stage, fault_of(name, 1))
    for is_silent in (True, False):
        said.clear()
        pass_s(stage, 5.0)
        assert (stage.address(1) not in said) == is_silent
        assert stage.is_frozen(1) == is_silent
        undo()
    assert stage.life(1) == 1


def leave(name: str) -> None:
    stage = running()
    undo = begin(stage, fault_of(name, 1))
    pass_s(stage, 10.0)
    assert not stage.is_up(1)
    assert state(stage, 0, 1) == State.LEFT
    undo()
    pass_s(stage, LONG_S)
    assert state(stage, 0, 1) == State.ALIVE


class Reads(Listener):
    """How late node 1 reads what has arrived for it, at the most."""

    def __init__(self, stage: MembershipStage) -> None:
        self._stage = stage
        self._arrived: list[float] = []
        self.late_s = [0.0]
        stage.listeners.append(self)
        stage.watch_packets(self._packet)

    def _packet(self, _: Address, to: Address, __: int, arrives_s: float | None) -> None:
        if to == self._stage.address(1) and arrives_s is not None:
            self._arrived.append(arrives_s)
            self._arrived.sort()

    def opened(self, receiver: int, datagram: bytes, fresh: bool) -> None:
        if receiver == 1 and self._arrived:
            self.late_s.append(self._stage.world.now_s - self._arrived.pop(0))


def starve(name: str) -> None:
    stage = running()
    reads = Reads(stage)
    pass_s(stage, 20.0)
    assert max(reads.late_s) < 0.1
    undo = begin(stage, fault_of(name, 1, late_min_s=0.3, late_max_s=0.6))
    pass_s(stage, 20.0)
    assert 0.3 < max(reads.late_s) < 0.7
    undo()
    pass_s(stage, 1.0)
    reads.late_s.clear()
    pass_s(stage, 20.0)
    assert max(reads.late_s) < 0.1


# -- whole machines: what is on the disk after ---------------------------------------------------
KEPT, CHANGED, YOUNG, UNSYNCED = "of us/kept", "of us/changed", "of us/young", "of us/unsynced {}"
UNSYNCED_COUNT = 20
BEGUN_S, FOR_S = 12.0, 10.0


class Disk:
    """What node 1 has of its own when its process runs again: files from before the fault, of which
    some are not synced when it begins, and what is written and changed while it lasts."""

    def __init__(self, name: str) -> None:
        self.ends: list[tuple[str, int]] = []
        self.files: dict[str, bytes] = {}
        self.foreign: dict[str, int] = {}
        self.is_up = [False, False]
        fault = attrs.evolve(fault_of(name, 1), at_s=BEGUN_S, for_s=FOR_S)
        self.outcome = played(
            fault,
            (BEGUN_S - 1, self._write),
            (BEGUN_S + 1, self._meanwhile),
            (BEGUN_S + FOR_S + 0.001, self._look),
        )
        assert not self.outcome.findings, "all know it again, and nothing else is wrong"

    def _write(self, stage: MeshStage) -> None:
        stage.listeners.append(self._listener())
        self.foreign[""] = sum(1 for name, *_ in stage.disk(1).snapshot().files)
        port = stage.disk(1).open()
        for name in (KEPT, CHANGED):
            port.write(name, b"before")
        for number in range(UNSYNCED_COUNT):
            port.append(UNSYNCED.format(number), bytes(3000))

    def _listener(self) -> Listener:
        ends = self.ends

        class Ends(Listener):
            def started(self, node: int) -> None:
                ends.append(("start", node))

            def ended(self, node: int, how: str) -> None:
                ends.append((how, node))

        return Ends()

    def _meanwhile(self, stage: MeshStage) -> None:
        self.is_up[0] = stage.is_up(1)
        port = stage.disk(1).open()
        port.write(YOUNG, b"meanwhile")
        if port.exists(CHANGED):
            port.write(CHANGED, b"meanwhile")

    def _look(self, stage: MeshStage) -> None:
        self.is_up[1] = stage.is_up(1)
        self.files = {name: data for name, data, _ in stage.disk(1).snapshot().files}

    @property
    def words(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        """Of what was kept, changed, and written later."""
        kept, changed, young = (self.files.get(name) for name in (KEPT, CHANGED, YOUNG))
        return kept, changed, young

    @property
    def unsynced_bytes(self) -> int:
        names = [UNSYNCED.format(number) for number in range(UNSYNCED_COUNT)]
        return sum(len(self.files.get(name, b"")) for name in names)


def test_a_crash_changes_nothing_on_the_disk() -> None:
    disk = Disk("crash")
    assert disk.ends == [("crash", 1), ("start", 1)]
    assert disk.is_up == [False, True]
    assert disk.words == (b"before", b"meanwhile", b"meanwhile")
    assert disk.unsynced_bytes == 3000 * UNSYNCED_COUNT


def power_cut(name: str) -> None:
    """What was synced is there, what was not is lost in part."""
    disk = Disk(name)
    assert disk.ends == [("power_cut", 1), ("start", 1)]
    assert disk.is_up == [False, True]
    assert disk.words == (b"before", b"meanwhile", b"meanwhile")
    assert disk.unsynced_bytes < 3000 * UNSYNCED_COUNT


def amnesia(name: str) -> None:
    """The disk is empty but for what makes it a member, and the node is known again."""
    disk = Disk(name)
    assert disk.ends == [("crash", 1), ("start", 1)]
    assert disk.is_up == [False, True]
    assert disk.words == (None, None, b"meanwhile")
    assert disk.unsynced_bytes == 0
    assert any(name.startswith("identity/") for name in disk.files)


def old_disk(name: str) -> None:
    """It runs on meanwhile; when it is over its process is another one, on the disk of old."""
    disk = Disk(name)
    assert disk.ends == [("crash", 1), ("start", 1)]
    assert disk.is_up == [True, True]
    assert disk.words == (b"before", b"before", None)
    assert disk.unsynced_bytes == 3000 * UNSYNCED_COUNT


# -- clocks --------------------------------------------------------------------------------------
def steps(step_s: float) -> Effect:
    """The wall clock jumps and jumps back; the other does not."""

    def effect(name: str) -> None:
        stage = whole()
        clock, other = stage.mesh[0].machine.clock, stage.mesh[1].machine.clock
        before_s, others_s, monotonic_s = clock.wall(), other.wall(), clock.monotonic()
        undo = begin(stage, fault_of(name, 0, step_s=step_s))
        assert clock.wall() - before_s == pytest.approx(step_s)
        assert (other.wall(), clock.monotonic()) == (others_s, monotonic_s)
        undo()
        assert clock.wall() - before_s == pytest.approx(0.0, abs=1e-6)

    return effect


def drifts(rate: float) -> Effect:
    """Both clocks go at that rate, until it is over."""

    def effect(name: str) -> None:
        stage = whole()
        clock = stage.mesh[0].machine.clock
        undo = begin(stage, fault_of(name, 0, rate=rate))
        for expected in (rate, 1.0):
            before_s, wall_s = clock.monotonic(), clock.wall()
            pass_s(stage, 100.0)
            assert clock.monotonic() - before_s == pytest.approx(100 * expected)
            assert clock.wall() - wall_s == pytest.approx(100 * expected)
            undo()

    return effect


EFFECTS: Effects = {
    "crash": ends_a_process(refuses=True),
    "host_down": ends_a_process(refuses=False),
    "power_cut": power_cut,
    "bounce": bounce,
    "freeze": freeze,
    "leave": leave,
    "starve": starve,
    "amnesia": amnesia,
    "old_disk": old_disk,
    "clock_ahead": steps(1000.0),
    "clock_behind": steps(-1000.0),
    "clock_fast": drifts(1.5),
    "clock_slow": drifts(0.6),
}


@pytest.mark.parametrize("name", EFFECTS)
def test_a_kind_of_machines_does_what_it_says_until_undone(name: str) -> None:
    shows(EFFECTS, name)


def test_a_fault_does_not_start_what_it_did_not_take_down() -> None:
    stage = running()
    first = begin(stage, fault_of("crash", 1))
    second = begin(stage, fault_of("crash", 1))
    first()
    assert stage.life(1) == 2
    second()
    assert stage.life(1) == 2, "the second one found it down and leaves it alone"


def test_a_machine_that_is_off_refuses_nothing_in_the_world_of_whole_nodes() -> None:
    """As `host_down` among membership cores; a crash has the machine say that nobody listens."""

    def heard(name: str) -> list[bool]:
        answers: list[bool] = []

        def ask(stage: MeshStage) -> None:
            refusals: list[Any] = []
            stage.network.attach(OUTSIDER, lambda *_: None, refusals.append)
            stage.network.send(b"anybody there", OUTSIDER, stage.address(1))
            stage.world.after(1.0, lambda: answers.append(bool(refusals)))

        fault = attrs.evolve(fault_of(name, 1), at_s=BEGUN_S, for_s=FOR_S)
        assert not played(fault, (BEGUN_S + 1, ask)).findings
        return answers

    assert heard("crash") == [True]
    assert heard("host_down") == [False]
