"""Lateness: what is measured, how it fades, and what others are told."""

from __future__ import annotations

import pytest

from mesh.limits import SWIM_REFUSABLE_MAX
from mesh.swim.config import LAN, LOOPBACK, WAN, SwimConfig
from mesh.swim.health import LATE_HALF_LIFE_S, LATE_MAX_S, Health
from mesh.swim.refusals import Refusable
from mesh.swim.timing import RoundTrips
from mesh.swim.vigil import Vigils
from sim.swim_world import node_key

NODE = node_key(1)[0]


def test_the_worst_lateness_fades_and_a_worse_one_replaces_it() -> None:
    health = Health()
    health.was_late(2.0, 0.0)
    health.was_late(0.5, 1.0)
    assert health.late_s(0.0) == pytest.approx(2.0)
    assert health.late_s(LATE_HALF_LIFE_S) == pytest.approx(1.0)
    health.was_late(3.0, LATE_HALF_LIFE_S)
    assert health.late_s(LATE_HALF_LIFE_S) == pytest.approx(3.0)
    health.was_late(1e9, 30.0)
    assert health.late_s(30.0) == LATE_MAX_S


def test_others_are_told_in_powers_of_two_and_nothing_of_small_change() -> None:
    health = Health()
    told = []
    for late_s in (0.05, 0.1, 0.3, 0.9, 2.5, 100.0):
        health.was_late(late_s, 0.0)
        told.append(health.late_level_ms(0.0))
    assert told == [0, 250, 500, 1000, 4000, 8000]


def test_a_machine_that_was_stopped_is_soon_as_punctual_as_others() -> None:
    health = Health()
    health.was_late(600.0, 0.0)  # a closed lid
    assert health.late_s(0.0) == LATE_MAX_S
    assert health.late_level_ms(3 * LATE_HALF_LIFE_S) <= 1000


def test_a_machine_whose_tasks_wait_expects_to_be_late() -> None:
    health = Health()
    health.set_pressure(7.0)
    crowded_s = health.late_s(0.0)
    health.set_pressure(0.1)
    assert 0 < health.late_s(0.0) < crowded_s < 1


def test_one_slow_answer_is_remembered_for_a_while() -> None:
    trips = RoundTrips(0.002, 0.001, 0.002, 0.0)
    for at_s in range(1, 50):
        trips.add(0.002, float(at_s))
    assert trips.expected_s(50.0) < 0.01
    trips.add(0.4, 51.0)
    assert trips.expected_s(52.0) >= 0.39
    for at_s in range(60, 400):
        trips.add(0.002, float(at_s))
    assert trips.expected_s(400.0) < 0.02


def test_a_vigil_ends_with_what_arrived_after_it_began_however_late_it_is_read() -> None:
    vigils = Vigils()
    vigils.begin(NODE, 7, since_s=10.0, counted_from_s=10.0, patience_s=2.0)
    assert vigils.heard(NODE, 9.9) is None, "sent before, and on its way"
    assert not vigils.due(11.9)
    vigils.forgive(5.0)
    assert not vigils.due(16.9)
    (due,) = vigils.due(17.0)
    assert not vigils.over(due, patience_s=3.0, now_s=17.0), "meanwhile it says it is late"
    assert vigils.heard(NODE, 10.1) is due
    assert len(vigils) == 0


def test_only_the_newest_datagrams_can_be_refused() -> None:
    refusable = Refusable()
    datagrams = [number.to_bytes(2, "big") + bytes(60) for number in range(SWIM_REFUSABLE_MAX + 1)]
    for data in datagrams:
        refusable.sent(data, NODE, ("10.0.0.1", 1), 0.0)
    assert refusable.match(("10.0.0.1", 1), datagrams[0], 0.1) is None
    assert refusable.match(("10.0.0.1", 1), datagrams[-1], 0.1) is not None
    assert refusable.match(("10.0.0.1", 1), datagrams[-1], 0.1) is None, "once"
    assert refusable.match(("10.0.0.1", 1), datagrams[-2], 60.0) is None, "too late"


@pytest.mark.parametrize("config", [LAN, WAN, LOOPBACK])
def test_every_profile_asks_others_before_patience_ends(config: SwimConfig) -> None:
    assert config.probe_timeout_s * 2.5 < config.patience_s * 1.5
    assert config.detection_bound_s(2) < config.detection_bound_s(100)
