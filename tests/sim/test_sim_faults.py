"""The registry of fault kinds: each has a check of its effect, can be drawn, told and refused.

What the kinds do is shown in `test_sim_faults_*.py`, a table for each group.
"""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import test_sim_faults_disks
import test_sim_faults_hostile
import test_sim_faults_machines
import test_sim_faults_network
import test_sim_faults_serial
import test_sim_faults_state
import test_sim_faults_streams
from fault_stands import fault_of, played

from sim import faults
from sim.faults import KINDS, begin, tell
from sim.scenario.model import WORLDS, BadScenario, Fault, Scenario
from sim.scenario.profiles import PROFILES, Wish, draw
from sim.stage.base import CannotDo
from sim.stage.membership import MembershipStage
from sim.stage.mesh import MeshStage

TABLES = (
    test_sim_faults_network.EFFECTS,
    test_sim_faults_streams.EFFECTS,
    test_sim_faults_machines.EFFECTS,
    test_sim_faults_disks.EFFECTS,
    test_sim_faults_serial.EFFECTS,
    test_sim_faults_hostile.EFFECTS,
    test_sim_faults_state.EFFECTS,
)


def test_every_kind_has_a_check_of_its_effect() -> None:
    """Each table is run by a test beside it, which sees to it that a check begins its kind."""
    checked = [name for table in TABLES for name in table]
    assert sorted(checked) == sorted(KINDS)


# -- whole nodes whose streams are hit -----------------------------------------------------------
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

    def listen(stage: MeshStage) -> None:
        network = stage.network
        inner = getattr(network, verb)
        setattr(network, verb, lambda *a, **k: hits.append(inner(*a, **k)) or hits[-1])

    fault = attrs.evolve(fault_of(name, *target), at_s=15.0, for_s=0.0)
    assert not played(fault, (14.0, listen)).findings
    assert hits
    assert all(hits), "something was hit"


# -- the registry --------------------------------------------------------------------------------
def test_there_are_eight_groups_of_kinds() -> None:
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
