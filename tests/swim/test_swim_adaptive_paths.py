"""Paths: one-way links, streams that vouch, members that come and go, distances."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.swim import coordinates
from mesh.swim.config import LAN
from mesh.swim.coordinates import ORIGIN, Coordinate, Place, decode, encode, moved
from mesh.swim.effects import MemberChanged, PathTrouble, State
from mesh.swim.flapping import PENALTY_MAX, Damper
from mesh.swim.paths import Paths
from mesh.wire.messages import PLACE_BYTES
from sim.net import ANY, DATAGRAMS, Link
from sim.swim_world import SwimNode, SwimWorld, node_key
from sim.world import World

IDS = [node_key(index)[0] for index in range(4)]


def a_mesh(seed: int, nodes: int, link: Link | None = None) -> SwimWorld:
    mesh = SwimWorld(seed, nodes, LAN, link)
    mesh.start_all()
    assert mesh.run_until(mesh.converged, within_s=20), "no convergence"
    mesh.run(3)
    return mesh


def own_trouble(node: SwimNode) -> PathTrouble:
    return node.endpoint.snapshot()[0].path


def killed(mesh: SwimWorld) -> set[int]:
    return {death.subject for death in mesh.deaths()}


# -- ourselves mute or deaf ------------------------------------------------------------------------
@pytest.mark.parametrize("seed", range(3))
def test_a_node_that_cannot_be_heard_reports_mute_within_five_seconds_and_kills_nobody(
    seed: int,
) -> None:
    mesh = a_mesh(seed, 8)
    mute = mesh[3]
    mesh.network.cut(mute.address[0], ANY)
    assert mesh.run_until(lambda: own_trouble(mute) is PathTrouble.MUTE, within_s=5)
    mesh.run(55)
    assert killed(mesh) <= {mute.index}


@pytest.mark.parametrize("seed", range(3))
def test_a_node_that_cannot_hear_reports_deaf_within_five_seconds_and_kills_nobody(
    seed: int,
) -> None:
    mesh = a_mesh(seed, 8)
    deaf = mesh[3]
    mesh.network.cut(ANY, deaf.address[0])
    assert mesh.run_until(lambda: own_trouble(deaf) is PathTrouble.DEAF, within_s=5)
    mesh.run(55)
    assert killed(mesh) <= {deaf.index}


@pytest.mark.parametrize("seed", range(3))
def test_a_node_that_hears_others_just_after_they_stopped_hearing_it_sees_that_it_is_alone(
    seed: int,
) -> None:
    """What was under way when it was cut off (or removed) is not taken for others' voices."""
    mesh = a_mesh(seed, 4)
    alone = mesh[3]
    mesh.network.cut(alone.address[0], ANY)
    assert mesh.run_until(lambda: own_trouble(alone) is PathTrouble.MUTE, within_s=5)
    mesh.network.cut(ANY, alone.address[0])
    others = [node for node in mesh.nodes if node is not alone]
    gone = (State.SUSPECT, State.DEAD, State.UNREACHABLE)
    assert mesh.run_until(lambda: all(alone.sees(o) in gone for o in others), within_s=15)
    assert own_trouble(alone) is PathTrouble.DEAF


def test_trouble_passes_with_the_first_answer() -> None:
    mesh = a_mesh(4, 6)
    mute = mesh[3]
    fault = mesh.network.cut(mute.address[0], ANY)
    assert mesh.run_until(lambda: own_trouble(mute) is PathTrouble.MUTE, within_s=5)
    fault.undo()
    assert mesh.run_until(lambda: own_trouble(mute) is PathTrouble.NONE, within_s=8)


def test_nobody_blames_itself_in_a_quiet_mesh_that_loses_five_percent() -> None:
    mesh = a_mesh(5, 6, Link(loss=0.05))
    for _ in range(60):
        mesh.run(1)
        assert {own_trouble(node) for node in mesh.nodes} == {PathTrouble.NONE}


# -- one pair --------------------------------------------------------------------------------------
def test_a_pair_that_cannot_talk_names_its_path_and_kills_nobody() -> None:
    mesh = a_mesh(6, 6)
    one, two = mesh[1], mesh[2]
    mesh.network.cut(one.address[0], two.address[0])
    mesh.network.cut(two.address[0], one.address[0])
    named: set[PathTrouble] = set()
    for _ in range(60):
        mesh.run(1)
        view = one.view_of(two)
        assert view is not None
        named.add(view.path)
    assert PathTrouble.SILENT in named
    assert not mesh.deaths()


def test_a_direction_that_carries_nothing_is_named_by_who_hears_the_other() -> None:
    paths = Paths(LAN.reconnect_backoff_max_s)
    for at_s in (1.0, 2.0, 3.0):
        paths.pinged(IDS[1], at_s)
    assert paths.trouble(IDS[1], 3.1) is PathTrouble.NONE, "silence alone names nothing"
    paths.heard(IDS[1], 3.2)
    assert paths.trouble(IDS[1], 3.3) is PathTrouble.OUT
    paths.answered(IDS[1], 3.4)
    assert paths.trouble(IDS[1], 3.5) is PathTrouble.NONE


def test_datagrams_blocked_but_streams_open_is_alive_with_its_path_named() -> None:
    mesh = a_mesh(7, 6)
    mesh.streams = lambda _asker, asked: asked.host.running
    blocked = mesh[3]
    mesh.network.isolate(blocked.address[0], DATAGRAMS)
    mesh.run(60)
    assert mesh.agree(State.ALIVE, blocked)
    assert not mesh.deaths()
    views = [node.view_of(blocked) for node in mesh.nodes if node is not blocked]
    assert PathTrouble.SILENT in {view.path for view in views if view is not None}
    blocked.crash()
    gone = (State.DEAD, State.UNREACHABLE)
    others = [node for node in mesh.nodes if node is not blocked]
    assert mesh.run_until(lambda: all(n.sees(blocked) in gone for n in others), within_s=30)


# -- flapping --------------------------------------------------------------------------------------
def test_a_node_twelve_seconds_up_and_six_down_makes_few_events() -> None:
    mesh = a_mesh(8, 8)
    flapping = mesh[3]
    before = len(mesh.changes)
    for _ in range(6):
        fault = mesh.network.isolate(flapping.address[0])
        mesh.run(6)
        fault.undo()
        mesh.run(12)
    seen = [
        change
        for change in mesh.changes[before:]
        if change.subject == flapping.index
        and change.observer == 0
        and change.previous != change.view.state
    ]
    assert 2 <= len(seen) <= 12
    shown = mesh[0].view_of(flapping)
    assert shown is not None
    assert shown.unstable
    reported = [c for c in seen if c.view.reachable and c.previous == State.DEAD]
    assert len(reported) <= 2
    mesh.run(LAN.flap_half_life_s * 2.5)
    shown = mesh[0].view_of(flapping)
    assert shown is not None
    assert not shown.unstable
    assert shown.state == State.ALIVE


def _changes(mesh: SwimWorld) -> tuple[MemberChanged, MemberChanged]:
    view = mesh[0].view_of(mesh[1])
    assert view is not None
    lost = MemberChanged(attrs.evolve(view, state=State.DEAD), State.ALIVE)
    return lost, MemberChanged(view, State.DEAD)


def test_damping_lets_the_first_two_returns_pass_and_reports_the_held_one_in_the_end() -> None:
    lost, back = _changes(a_mesh(9, 3))
    damper = Damper(60.0)
    passed = [damper.pass_on(change, at_s) for at_s in (0, 10, 20) for change in (lost, back)]
    assert passed == [True, True, True, True, True, False]
    assert damper.unstable(back.view.node_id)
    due_s = damper.next_s()
    assert due_s is not None
    assert not damper.take_due(due_s - 0.1)
    assert damper.take_due(due_s) == [back]
    assert not damper.unstable(back.view.node_id)
    assert damper.next_s() is None


def test_who_is_lost_while_held_back_is_not_reported_back_at_all() -> None:
    lost, back = _changes(a_mesh(9, 3))
    damper = Damper(60.0)
    for at_s in (0, 10, 20):
        damper.pass_on(lost, at_s)
        damper.pass_on(back, at_s)
    assert not damper.pass_on(lost, 21.0)
    assert damper.take_due(1000.0) == []


@given(st.integers(1, 200))
def test_nobody_is_held_back_for_ever(losses: int) -> None:
    lost, back = CHANGES
    damper = Damper(60.0)
    for at_s in range(losses):
        damper.pass_on(lost, float(at_s))
        damper.pass_on(back, float(at_s))
    due_s = damper.next_s()
    assert due_s is None or due_s <= losses + 60.0 * (PENALTY_MAX / 2)


CHANGES = _changes(a_mesh(9, 3))


# -- coordinates -----------------------------------------------------------------------------------
def test_coordinates_tell_round_trips_that_were_never_measured() -> None:
    """Three sites, 2 ms inside, 40 to 90 ms between: half of the pairs are measured."""
    rng = World(1).rng("coordinates")
    sites = [(0.0, 0.0), (0.02, 0.0), (0.0, 0.04)]
    where = [sites[index % 3] for index in range(18)]

    def rtt_s(a: int, b: int) -> float:
        (ax, ay), (bx, by) = where[a], where[b]
        return 0.002 + 2 * ((ax - bx) ** 2 + (ay - by) ** 2) ** 0.5

    places = [Place(rng.random) for _ in where]
    for _ in range(4000):
        a, b = rng.randrange(18), rng.randrange(18)
        if a != b and (a + b) % 2:
            noisy_s = rtt_s(a, b) * (1 + 0.1 * rng.random())
            places[a].measured(encode(places[b].own), noisy_s)
    wrong: list[float] = []
    for a in range(18):
        for b in range(a):
            expected_s = places[a].expected_rtt_s(encode(places[b].own))
            assert expected_s is not None
            if (a + b) % 2 == 0:
                wrong.append(abs(expected_s - rtt_s(a, b)) / max(0.01, rtt_s(a, b)))
    assert sorted(wrong)[len(wrong) // 2] < 0.25


@given(st.binary(max_size=9), st.floats(), st.integers(0, 2**32))
def test_no_bytes_and_no_round_trip_lead_out_of_bounds(data: bytes, rtt: float, seed: int) -> None:
    rng = World(seed).rng("x")
    place = moved(decode(data), decode(data[::-1]), rtt, rng.random)
    assert decode(encode(place)).rtt_s(place) >= 0
    assert 0 < place.error <= coordinates.ERROR_MAX
    assert max(abs(place.x_s), abs(place.y_s), place.height_s) <= 10


@settings(max_examples=50)
@given(st.integers(-(2**15) + 1, 2**15 - 1), st.integers(1, 2**16 - 1))
def test_a_liar_moves_us_by_one_step(x: int, height: int) -> None:
    liar = Coordinate(x_s=x * 1e-4, height_s=height * 1e-4, error=0.0)
    place = moved(ORIGIN, liar, 4.9, World(1).rng("x").random)
    assert ORIGIN.moved_s(place) <= coordinates.STEP_MAX_S * 1.5


def test_a_place_is_told_when_it_has_moved_and_not_too_often() -> None:
    place = Place(World(1).rng("x").random)
    assert place.to_tell(0.0) is None
    for _ in range(80):
        place.measured(encode(Coordinate(x_s=0.05, error=0.1)), 0.2)
    told = place.to_tell(1.0)
    assert told is not None
    assert len(told) == PLACE_BYTES
    assert place.to_tell(1.5) is None
    for _ in range(80):
        place.measured(encode(Coordinate(y_s=-0.2, error=0.1)), 0.6)
    assert place.to_tell(2.0) is None
    assert place.to_tell(12.0) is not None


def test_members_that_were_never_pinged_have_an_expected_round_trip() -> None:
    mesh = a_mesh(10, 24)
    mesh.run(24)
    views = mesh[5].endpoint.snapshot()[1:]
    known = [view.rtt_s for view in views if view.rtt_s is not None]
    assert len(known) == 23
    assert all(0.0005 < rtt_s < 0.05 for rtt_s in known)
