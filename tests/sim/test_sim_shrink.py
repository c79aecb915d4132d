"""Shrinking: the smallest list that fails, the simplest scenario with the same bug."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.mutants.catalogue import MUTANTS
from sim.mutants.plant import planted
from sim.scenario.model import Fault, Phases, Scenario
from sim.scenario.play import play
from sim.shrink.ddmin import ddmin
from sim.shrink.shrink import DoesNotFail, ShrinkConfig, shrink
from sim.shrink.simplify import candidates
from sim.story import tell_story
from sim.why import NothingWrong, causality

BY_NAME = {mutant.name: mutant for mutant in MUTANTS}
SHORT = Phases(warm_up_s=10, chaos_s=26, settle_s=25, canary_s=0)
CULPRIT = Fault(14.0, "partition", (0, 1), 15.0)
"""A cut that lasts until the two sides have given each other up."""
SCENARIO = Scenario(
    seed=3,
    nodes=5,
    phases=SHORT,
    faults=(
        Fault(11.0, "duplicate", (2,), 5.0, {"chance": 0.2}),
        Fault(12.0, "noise", (1,), 9.0, {"rate": 3.0}),
        CULPRIT,
        Fault(20.0, "delay", (3,), 4.0, {"delay_s": 0.1}),
        Fault(30.0, "reorder", (4,), 4.0, {"chance": 0.2}),
    ),
)


@given(st.lists(st.integers(0, 30), max_size=30), st.sets(st.integers(0, 30), max_size=4))
def test_ddmin_leaves_exactly_what_is_needed(items: list[int], needed: set[int]) -> None:
    items = list(dict.fromkeys(items))
    wanted = needed & set(items)

    def fails(part: Sequence[int]) -> bool:
        return wanted <= set(part)

    assert sorted(ddmin(items, fails)) == sorted(wanted)


@given(st.lists(st.integers(0, 99), min_size=1, max_size=40, unique=True), st.integers(1, 99))
def test_ddmin_is_one_minimal_for_any_criterion(items: list[int], least: int) -> None:
    def fails(part: Sequence[int]) -> bool:
        return sum(part) >= least

    if not fails(items):
        return
    kept = ddmin(items, fails)
    assert fails(kept)
    assert all(not fails(kept[:n] + kept[n + 1 :]) for n in range(len(kept)))


def test_candidates_are_valid_and_simpler() -> None:
    made = list(candidates(SCENARIO))
    assert made
    for each in made:
        assert each != SCENARIO
        assert each.nodes <= SCENARIO.nodes
        assert each.phases.end_s <= SCENARIO.phases.end_s


def test_a_planted_bug_is_shrunk_to_the_one_fault_that_matters() -> None:
    with planted(BY_NAME["lost-for-ever"]):
        done = shrink(SCENARIO, ShrinkConfig(runs_max=25))
        assert not done.outcome.ok
        assert [fault.kind for fault in done.scenario.faults] == ["partition"]
        assert done.faults_before == 5
        assert done.scenario.phases.end_s <= SHORT.end_s
        assert done.passing is not None
        assert play(done.passing).ok
        story = tell_story(done.outcome)
        assert any("cut in two" in line for line in story)
        assert "WRONG (reunited)" in "\n".join(story)


def test_what_does_not_fail_cannot_be_shrunk_or_explained() -> None:
    with pytest.raises(DoesNotFail):
        shrink(SCENARIO.with_faults(()))
    with pytest.raises(NothingWrong):
        causality(SCENARIO.with_faults(()))


def test_the_bug_becomes_likely_when_its_cause_is_past_and_rewinding_disturbs_nothing() -> None:
    with planted(BY_NAME["lost-for-ever"]):
        done = causality(SCENARIO, futures=1)
    assert done.parent_same
    assert done.forks == len(done.rewinds)
    assert done.outcome.findings[0].oracle == "reunited"
    assert done.rewinds[-1].chance == 1.0, "after the cut nothing can save it"
