"""Every fault kind does in the world what its name says, and its undo takes it back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from mesh.errors import MeshError
from mesh.types import Address
from sim import faults
from sim.faults import KINDS, begin, tell
from sim.scenario.model import WORLDS, BadScenario, Fault, Phases, Scenario
from sim.scenario.play import Director, Outcome, PlayConfig, play
from sim.scenario.profiles import PROFILES, Wish, draw
from sim.serial import SerialLine, SerialLineConfig
from sim.stage.base import CannotDo, Listener, Stage
from sim.stage.membership import MembershipStage
from sim.stage.mesh import MeshStage

PORT = 9
COUNT = 400


class Probe:
    """A stage whose nodes do not run, and datagrams from node 0 to node 1."""

    def __init__(self, stage: Stage | None = None) -> None:
        self.stage = stage or MembershipStage(Scenario(seed=1, nodes=3))
        self.arrived: list[tuple[float, bytes]] = []
        self.to: Address = (self.stage.place(1), PORT)
        self.stage.network.attach(self.to, self._arrive)

    def _arrive(self, data: bytes, _: Address) -> None:
        self.arrived.append((self.stage.world.now_s, data))

    def send(self, source: int = 0, count: int = COUNT, size: int = 200) -> list[bytes]:
        """Send and wait; returns what arrived, in order."""
        self.arrived.clear()
        begun_s = self.stage.world.now_s
        for number in range(count):
            data = number.to_bytes(4, "big") + bytes(size - 4)
            self.stage.network.send(data, (self.stage.place(source), PORT), self.to)
        self.stage.world.run_until(begun_s + 60)
        self.delays_s = [at_s - begun_s for at_s, _ in self.arrived]
        return [data for _, data in self.arrived]


def fault_of(name: str, *target: int, **params: float) -> Fault:
    """A fault with the harshest values of the parameters that are not given."""
    kind = KINDS[name]
    values = {param.name: params.get(param.name, param.high) for param in kind.params}
    whole = {p.name for p in kind.params if p.whole}
    typed = {name: int(v) if name in whole else float(v) for name, v in values.items()}
    fault = Fault(0.0, name, target, 30.0, typed)
    kind.check(fault, 3, ("faults", 0))
    return fault


def payloads(count: int = COUNT, size: int = 200) -> set[bytes]:
    return {number.to_bytes(4, "big") + bytes(size - 4) for number in range(count)}


# -- network -------------------------------------------------------------------------------------
LOSSES: dict[str, tuple[tuple[int, ...], dict[str, float], int, int]] = {
    # name: (target, parameters, fewest and most that may arrive of 400)
    "loss": ((1,), {"chance": 0.5}, 150, 250),
    "burst_loss": ((0,), {"chance": 0.4, "length": 10.0}, 120, 340),
    "one_way": ((0, 1), {}, 0, 0),
    "mute": ((0,), {}, 0, 0),
    "deaf": ((1,), {}, 0, 0),
    "isolate": ((0,), {}, 0, 0),
    "partition": ((0,), {}, 0, 0),
    "mtu": ((0,), {"size_bytes": 200.0}, 0, 0),
    "bandwidth": ((0,), {"rate": 2000.0, "queue_bytes": 3000.0}, 5, 40),
}


@pytest.mark.parametrize("name", LOSSES)
def test_kinds_that_lose_datagrams_lose_them_until_undone(name: str) -> None:
    target, params, fewest, most = LOSSES[name]
    probe = Probe()
    undo = begin(probe.stage, fault_of(name, *target, **params))
    assert fewest <= len(probe.send()) <= most
    undo()
    assert len(probe.send()) == COUNT


@pytest.mark.parametrize(("name", "low_s", "high_s"), [("one_way", 0, 1), ("mute", 0, 1)])
def test_one_directional_kinds_leave_the_way_back_open(
    name: str, low_s: float, high_s: float
) -> None:
    probe = Probe()
    target = (1, 0) if name == "one_way" else (1,)
    begin(probe.stage, fault_of(name, *target))
    assert len(probe.send()) == COUNT


def test_delay_jitter_and_spikes_make_packets_late() -> None:
    for name, params, least_s in (
        ("delay", {"delay_s": 1.5}, 1.5),
        ("jitter", {"jitter_s": 1.0}, 0.8),
        ("spikes", {"chance": 0.3, "spike_s": 2.0}, 2.0),
    ):
        probe = Probe()
        undo = begin(probe.stage, fault_of(name, 0, **params))
        assert len(probe.send()) == COUNT, name
        assert max(probe.delays_s) >= least_s, name
        undo()
        probe.send()
        assert max(probe.delays_s) < 0.1, name


def test_duplicate_reorder_corrupt_and_truncate_do_so() -> None:
    probe = Probe()
    begin(probe.stage, fault_of("duplicate", 0))
    assert len(probe.send()) > COUNT * 1.3
    probe = Probe()
    begin(probe.stage, fault_of("reorder", 0))
    heard = probe.send()
    assert heard != sorted(heard)
    for name in ("corrupt", "truncate"):
        probe = Probe()
        begin(probe.stage, fault_of(name, 0))
        damaged = [data for data in probe.send() if data not in payloads()]
        assert len(damaged) > COUNT / 4, name
        shorter = all(len(data) < 200 for data in damaged)
        assert shorter == (name == "truncate")


def test_clog_holds_back_and_lets_go() -> None:
    probe = Probe()
    undo = begin(probe.stage, fault_of("clog", 0))
    probe.send(count=20)
    assert not probe.arrived
    undo()
    probe.stage.world.run_until(probe.stage.world.now_s + 5)
    assert len(probe.arrived) == 20


def test_flapping_comes_and_goes() -> None:
    probe = Probe()
    fault = attrs.evolve(fault_of("flapping", 0, period_s=2.0), for_s=20.0)
    undo = begin(probe.stage, fault)
    world, heard = probe.stage.world, []
    for second in range(20):
        probe.arrived.clear()
        world.run_until(second + 0.5)
        probe.stage.network.send(b"x", (probe.stage.place(0), PORT), probe.to)
        world.run_until(second + 0.9)
        heard.append(bool(probe.arrived))
    undo()
    assert 5 <= sum(heard) <= 15, heard


def test_no_refusals_silences_closed_ports() -> None:
    probe = Probe()
    network, closed = probe.stage.network, (probe.stage.place(2), 4711)
    network.add_host(probe.stage.place(2))
    refusals: list[Any] = []
    source = (probe.stage.place(0), PORT)
    network.attach(source, lambda *_: None, refusals.append)
    undo = begin(probe.stage, fault_of("no_refusals", 2))
    for expected in (0, 1):
        network.send(b"x", source, closed)
        probe.stage.world.run_until(probe.stage.world.now_s + 5)
        assert len(refusals) == expected
        undo()


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("small_buffers", "socket-datagrams"),
        ("stream_refused", "refuse-streams"),
        ("stream_stalled", "stall-handshakes"),
        ("stream_slow_reader", "read-bytes-per-s"),
        ("stream_chopped", "chop-bytes"),
        ("stream_narrow", "window-bytes"),
    ],
)
def test_kinds_that_are_settings_of_roads_are_set_and_taken_away(name: str, setting: str) -> None:
    stage = MembershipStage(Scenario(seed=1, nodes=3))
    places = [stage.place(0), stage.place(1)]

    def is_set() -> bool:
        roads = (stage.network.road(*places), stage.network.road(*places[::-1]))
        return any(setting in road.settings for road in roads)

    undo = begin(stage, fault_of(name, 0))
    assert is_set()
    undo()
    assert not is_set()


def test_no_multicast_cuts_discovery_only() -> None:
    probe = Probe()
    undo = begin(probe.stage, fault_of("no_multicast", 0))
    road = probe.stage.network.road(probe.stage.place(0), probe.stage.place(1))
    assert road.blocked
    assert len(probe.send()) == COUNT
    undo()
    assert not probe.stage.network.road(probe.stage.place(0), probe.stage.place(1)).blocked


# -- nodes ---------------------------------------------------------------------------------------
def running(seed: int = 1, nodes: int = 3) -> MembershipStage:
    stage = MembershipStage(Scenario(seed=seed, nodes=nodes))
    stage.world.at(0.0, stage.start_all)
    stage.world.run_until(10.0)
    return stage


@pytest.mark.parametrize("name", ["crash", "host_down"])
def test_kinds_that_kill_bring_back_a_new_life(name: str) -> None:
    stage = running()
    undo = begin(stage, fault_of(name, 1))
    assert not stage.is_up(1)
    undo()
    assert stage.is_up(1)
    assert stage.life(1) == 2


def test_a_fault_does_not_start_what_it_did_not_take_down() -> None:
    stage = running()
    first = begin(stage, fault_of("crash", 1))
    second = begin(stage, fault_of("crash", 1))
    first()
    assert stage.life(1) == 2
    second()
    assert stage.life(1) == 2, "the second one found it down and leaves it alone"


def test_bounce_is_a_new_life_at_once() -> None:
    stage = running()
    begin(stage, fault_of("bounce", 1))()
    assert stage.is_up(1)
    assert stage.life(1) == 2


def test_freeze_stops_and_goes_on() -> None:
    stage = running()
    undo = begin(stage, fault_of("freeze", 1))
    assert stage.is_frozen(1)
    undo()
    assert not stage.is_frozen(1)
    assert stage.life(1) == 1


def test_leave_says_goodbye_ends_and_returns() -> None:
    stage = running()
    undo = begin(stage, fault_of("leave", 1))
    stage.world.run_until(20.0)
    assert not stage.is_up(1)
    view = stage.view(0, 1)
    assert view is not None
    assert view.state.name == "LEFT"
    undo()
    stage.world.run_until(40.0)
    view = stage.view(0, 1)
    assert view is not None
    assert view.state.name == "ALIVE"


class Reads(Listener):
    """How late node 1 reads what has arrived for it."""

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


@pytest.mark.parametrize("starved", [False, True])
def test_a_starved_node_reads_its_mail_late(starved: bool) -> None:
    stage = running()
    reads = Reads(stage)
    if starved:
        begin(stage, fault_of("starve", 1, late_min_s=0.3, late_max_s=0.6))
    stage.world.run_until(30.0)
    assert (0.3 < max(reads.late_s) < 0.7) == starved


# -- whole nodes: disks, clocks, power -----------------------------------------------------------
@pytest.fixture
def whole() -> MeshStage:
    return MeshStage(Scenario(seed=1, nodes=2, world="mesh"))


def fails(action: Callable[[], object]) -> bool:
    try:
        action()
    except (OSError, MeshError):
        return True
    return False


def write_some(port: Any) -> None:
    for number in range(60):
        port.write(f"file{number}", b"x" * 2000)


def read_some(port: Any) -> None:
    for number in range(60):
        assert port.read(f"file{number}") == b"x" * 2000


@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("disk_full", write_some),
        ("disk_read_only", write_some),
        ("disk_write_errors", write_some),
        ("disk_sync_errors", write_some),
        ("disk_read_errors", read_some),
    ],
)
def test_kinds_of_disks_that_fail_do_so_until_undone(
    whole: MeshStage, name: str, action: Callable[[Any], None]
) -> None:
    port = whole.disk(0).open()
    write_some(port)
    undo = begin(whole, fault_of(name, 0, free_bytes=100.0))
    assert fails(lambda: action(port))
    undo()
    assert not fails(lambda: write_some(port))
    assert not fails(lambda: read_some(port))


@pytest.mark.parametrize(
    ("name", "action"), [("disk_slow_syncs", write_some), ("disk_slow_reads", read_some)]
)
def test_slow_disks_take_their_time(
    whole: MeshStage, name: str, action: Callable[[Any], None]
) -> None:
    spent: list[float] = []
    port = whole.disk(0).open(spent.append)
    write_some(port)
    spent.clear()
    undo = begin(whole, fault_of(name, 0, duration_s=0.5))
    action(port)
    assert sum(spent) >= 30
    undo()


@pytest.mark.parametrize("lies", [False, True])
def test_a_disk_that_lies_loses_what_it_called_synced(whole: MeshStage, lies: bool) -> None:
    disk = whole.disk(0)
    port = disk.open()
    if lies:
        begin(whole, fault_of("disk_lies", 0))
    for number in range(20):
        port.write(f"promise{number}", b"kept")
    port.detach()
    disk.power_cut()
    after = disk.open()
    kept = sum(after.read(f"promise{number}") == b"kept" for number in range(20))
    assert (kept == 20) != lies


@pytest.mark.parametrize("name", ["disk_rot", "disk_tear"])
def test_rot_and_tears_change_what_lies_on_the_disk(whole: MeshStage, name: str) -> None:
    port = whole.disk(0).open()
    write_some(port)
    before = whole.disk(0).snapshot()
    begin(whole, fault_of(name, 0))
    after = whole.disk(0).snapshot()
    assert after != before
    kept = [f for f in after.files if f[0].startswith("identity/")]
    assert kept == [f for f in before.files if f[0].startswith("identity/")]


@pytest.mark.parametrize(("name", "forward"), [("clock_ahead", True), ("clock_behind", False)])
def test_wall_clocks_jump_and_jump_back(whole: MeshStage, name: str, forward: bool) -> None:
    clock = whole.mesh[0].machine.clock
    before_s = clock.wall()
    step_s = 1000.0 if forward else -1000.0
    undo = begin(whole, fault_of(name, 0, step_s=step_s))
    assert clock.wall() - before_s == pytest.approx(step_s)
    undo()
    assert clock.wall() == pytest.approx(before_s)


@pytest.mark.parametrize(("name", "rate"), [("clock_fast", 1.5), ("clock_slow", 0.6)])
def test_clocks_drift(whole: MeshStage, name: str, rate: float) -> None:
    clock = whole.mesh[0].machine.clock
    begin(whole, fault_of(name, 0, rate=rate))
    before_s = clock.monotonic()
    whole.world.run_until(100.0)
    assert clock.monotonic() - before_s == pytest.approx(100 * rate)


def test_an_old_disk_and_an_empty_one_come_back_as_members(whole: MeshStage) -> None:
    port = whole.disk(0).open()
    port.write("new", b"something")
    whole.wipe(0)
    names = {name for name, *_ in whole.disk(0).snapshot().files}
    assert "new" not in names
    assert names, "it is a member still"


# -- whole nodes that run ------------------------------------------------------------------------
def played(fault: Fault, prepare: Callable[[Director], None]) -> Outcome:
    """A short run of whole nodes with one fault."""
    phases = Phases(warm_up_s=10, chaos_s=20, settle_s=20, canary_s=0)
    scenario = Scenario(seed=5, nodes=3, world="mesh", phases=phases, faults=(fault,))
    return play(scenario, PlayConfig(prepare=(prepare,)))


@pytest.mark.parametrize(
    ("name", "target", "verb"),
    [
        ("stream_reset", (1,), "reset_streams"),
        ("stream_half_close", (0, 1), "half_close_streams"),
        ("stream_reset_after", (1,), "reset_streams_after"),
    ],
)
def test_streams_are_hit_and_nodes_connect_anew(
    name: str, target: tuple[int, ...], verb: str
) -> None:
    hits: list[Any] = []

    def prepare(director: Director) -> None:
        network = director.stage.network
        inner = getattr(network, verb)
        setattr(network, verb, lambda *a, **k: hits.append(inner(*a, **k)) or hits[-1])

    fault = attrs.evolve(fault_of(name, *target), at_s=15.0, for_s=0.0)
    assert not played(fault, prepare).findings
    assert hits
    assert all(hits), "something was hit"


@pytest.mark.parametrize("name", ["power_cut", "amnesia", "old_disk"])
def test_nodes_whose_machine_or_disk_is_lost_come_back(name: str) -> None:
    lives: list[tuple[str, int]] = []

    class Lives(Listener):
        def started(self, node: int) -> None:
            lives.append(("start", node))

        def ended(self, node: int, how: str) -> None:
            lives.append((how, node))

    fault = attrs.evolve(fault_of(name, 1), at_s=12.0, for_s=10.0)
    outcome = played(fault, lambda director: director.stage.listeners.append(Lives()))
    assert not outcome.findings
    assert lives[3:] == [("power_cut" if name == "power_cut" else "crash", 1), ("start", 1)]


# -- serial lines --------------------------------------------------------------------------------
class Gateway(MembershipStage):
    """A stage on which node 0 has a serial line."""

    def __init__(self) -> None:
        super().__init__(Scenario(seed=1, nodes=2))
        self.line = SerialLine(self.world, "line", SerialLineConfig())

    def serial(self, node: int) -> Any:
        return self.line if node == 0 else None


@pytest.mark.parametrize("name", [kind.name for kind in KINDS.values() if kind.group == "serial"])
def test_serial_kinds_are_at_work_until_undone(name: str) -> None:
    stage = Gateway()
    before = attrs_of(stage.line)
    undo = begin(stage, fault_of(name, 0))
    assert attrs_of(stage.line) != before
    undo()
    assert attrs_of(stage.line) == before
    begin(stage, fault_of(name, 1))()  # a node without a line is not hit


def attrs_of(line: SerialLine) -> str:
    return repr(sorted((k, repr(v)) for k, v in vars(line).items() if "rng" not in k))


# -- attackers -----------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["replay", "noise", "forgery", "false_refusal"])
def test_attackers_are_heard_and_change_nothing(name: str) -> None:
    stage = running()
    sent: list[bytes] = []
    inner = stage.network.deliver
    stage.network.deliver = lambda data, *rest: (sent.append(data), inner(data, *rest))
    forged: list[int] = []
    inner_forge = stage.network.forge_refusal
    stage.network.forge_refusal = lambda *a: forged.append(1) or inner_forge(*a)
    stage.world.run_until(12.0)
    before = stage.table_hash(0)
    taken: list[bytes] = []
    stage.tap(lambda data, *_: taken.append(data))
    undo = begin(stage, fault_of(name, 1))
    stage.world.run_until(20.0)
    undo()
    foreign = len(sent) - len(taken) if name == "replay" else len(set(sent) - set(taken))
    assert foreign > 20 or len(forged) > 20
    stage.world.run_until(25.0)
    assert stage.table_hash(0) == before
    sent.clear()
    forged.clear()


# -- the registry --------------------------------------------------------------------------------
def test_there_are_more_than_thirty_kinds_in_eight_groups() -> None:
    assert len(KINDS) >= 30
    groups = {kind.group for kind in KINDS.values()}
    assert groups == {"network", "stream", "node", "clock", "disk", "serial", "hostile", "state"}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_draws_faults_that_it_accepts_and_can_tell(name: str) -> None:
    kind = KINDS[name]
    rng = MembershipStage(Scenario(seed=4, nodes=2)).world.rng(name)
    for nodes in (2, 3, 50):
        fault = kind.draw(rng, nodes, 1.0, 2.0)
        kind.check(fault, nodes, ("faults", 0))
        words = tell(fault)
        assert "{" not in words
        assert words


def test_profiles_use_kinds_that_exist_and_every_kind_is_in_one() -> None:
    used = {
        kind.name
        for profile in PROFILES.values()
        for world in WORLDS
        for kind in profile.kinds_in(world)
    }
    assert used == set(KINDS)
    for name in PROFILES:
        assert draw(Wish(3, name, 5, "mesh")).profile == name


def test_wrong_faults_are_refused_with_the_place_and_a_hint() -> None:
    with pytest.raises(BadScenario, match="did you mean crash"):
        faults.check_fault(Fault(0, "crahs", (0,)), 3)
    with pytest.raises(BadScenario, match="target"):
        faults.check_fault(Fault(0, "one_way", (0,)), 3)
    with pytest.raises(BadScenario, match="chance"):
        faults.check_fault(Fault(0, "loss", (0,), 1.0, {"chance": 7.0}), 3)
    with pytest.raises(BadScenario, match="no such parameter"):
        faults.check_fault(Fault(0, "crash", (0,), 1.0, {"speed": 7.0}), 3)


def test_the_light_stage_says_what_it_cannot_do() -> None:
    with pytest.raises(CannotDo):
        begin(MembershipStage(Scenario(seed=1, nodes=2)), fault_of("disk_rot", 0))
