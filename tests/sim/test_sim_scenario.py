"""Scenarios: files that say where they are wrong, profiles that draw the same everywhere, and runs
that are the same whenever they are played."""

from __future__ import annotations

from random import Random

import attrs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sim.faults import KINDS
from sim.faults.model import Kind
from sim.scenario.files import BadScenarioFile, dumps, loads
from sim.scenario.jsontext import BadJson, Document
from sim.scenario.model import Fault, Options, Phases, Scenario
from sim.scenario.play import PlayConfig, play
from sim.scenario.profiles import PROFILES, Wish, draw

SHORT = Phases(warm_up_s=10, chaos_s=10, settle_s=20, canary_s=15)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.text(max_size=8)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(VALUES)
def test_json_reads_what_json_writes(value: object) -> None:
    import json

    assert Document(json.dumps(value, indent=1)).value == json.loads(json.dumps(value))


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("", 1, "the end"),
        ("{\n1: 2}", 2, "double quotes"),
        ('{"a": 1,\n"a": 2}', 2, "twice"),
        ('{"a": 1\n"b": 2}', 2, "expected ','"),
        ("[1,\n2,\nx]", 3, "expected a value"),
        ("{}\n\n{}", 3, "follows"),
        ("[" * 40, 1, "too deep"),
        ('["\x01"]', 1, "control character"),
    ],
)
def test_text_that_is_not_json_is_told_its_line(text: str, line: int, why: str) -> None:
    with pytest.raises(BadJson) as caught:
        Document(text)
    assert caught.value.line == line
    assert why in caught.value.why


@example(20347, "clocks", 2)
@given(st.integers(0, 10**9), st.sampled_from(sorted(PROFILES)), st.integers(2, 40))
def test_files_say_all_of_a_scenario(seed: int, profile: str, nodes: int) -> None:
    scenario = draw(Wish(seed, profile, nodes, "mesh"))
    assert loads(dumps(scenario)) == scenario


@pytest.mark.parametrize("share", [0.0, 0.0005, 0.5, 0.9999])
def test_what_is_drawn_can_be_played(share: float) -> None:
    dice = Random(0)
    dice.random = lambda: share  # type: ignore[method-assign]
    for kind in KINDS.values():
        for param in kind.params:
            param.check(param.draw(dice), (kind.name,))


def test_the_same_seed_draws_the_same_scenario_and_another_one_another() -> None:
    one, same, other = (draw(Wish(seed, "everything", 6)) for seed in (1, 1, 2))
    assert one == same
    assert one.faults != other.faults
    assert dumps(one) == dumps(same)


BASE = draw(Wish(1, "crashes", 4))


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("vitte-scenario/1", "vitte-scenario/9", "this version reads"),
        ('"nodes": 4', '"nodes": "four"', "must be of type int"),
        ('"nodes": 4', '"nodes": true', "must be of type int"),
        ('"nodes": 4', '"nodes": 0', "between 1 and"),
        ('"seed": 1', '"sead": 1', "unknown"),
        ('"nodes": 4,', "", "is missing"),
        ('"warm_up_s": ', '"warm_up": ', "unknown"),
        ('"swim": "lan"', '"swim": "moon"', "one of lan"),
    ],
)
def test_a_mistake_in_a_file_is_shown_with_its_line(old: str, new: str, why: str) -> None:
    text = dumps(BASE)
    assert text.count(old) == 1
    line = text[: text.index(old)].count("\n") + 1
    with pytest.raises(BadScenarioFile) as caught:
        loads(text.replace(old, new))
    assert why in caught.value.why
    assert caught.value.line == (1 if new == "" else line)


@pytest.mark.parametrize("name", ["crash", "loss", "one_way"])
def test_a_mistake_in_a_fault_is_shown_with_the_line_of_that_fault(name: str) -> None:
    kind: Kind = KINDS[name]
    params = {param.name: param.low for param in kind.params}
    good = Fault(25.0, name, tuple(range(kind.targets[0] or 1)), 1.0, params)
    text = dumps(BASE.with_faults([good, good]))
    broken = text.replace(f'"kind": "{name}"', f'"kind": "{name}x"', 2).replace(
        f'"kind": "{name}x"', f'"kind": "{name}"', 1
    )
    with pytest.raises(BadScenarioFile) as caught:
        loads(broken)
    assert caught.value.line == broken[: broken.index(f'"kind": "{name}x"')].count("\n") + 1
    assert f"did you mean {name}" in caught.value.why


# -- playing -------------------------------------------------------------------------------------
@pytest.mark.parametrize("profile", ["everything", "partitions", "hostile"])
def test_a_run_is_the_same_whenever_it_is_played(profile: str) -> None:
    scenario = attrs.evolve(draw(Wish(5, profile, 4)), phases=SHORT, faults=())
    faults = tuple(
        attrs.evolve(f, at_s=12.0 + n * 0.1, for_s=4.0)
        for n, f in enumerate(draw(Wish(5, profile, 4)).faults)
    )
    scenario = scenario.with_faults(faults)
    first, second = play(scenario), play(scenario)
    assert first.ok, first.findings
    assert first.digest == second.digest
    assert first.figures == second.figures
    other = play(attrs.evolve(scenario, seed=6))
    assert other.digest != first.digest


@pytest.mark.parametrize("world", ["membership", "mesh"])
def test_a_calm_run_goes_through_all_phases_and_finds_the_canary(world: str) -> None:
    outcome = play(Scenario(seed=2, nodes=4, world=world, phases=SHORT))
    assert outcome.verdict == "ok", outcome.findings
    assert outcome.virtual_s == pytest.approx(SHORT.end_s, abs=1.0)
    assert 0 < outcome.figures["crash_known_s"] < 15


def test_whole_nodes_build_through_the_chaos() -> None:
    scenario = draw(Wish(3, "builds", 4, "mesh"))
    outcome = play(scenario)
    assert outcome.ok, outcome.findings
    assert outcome.figures["runs"] >= 1


def test_a_run_can_be_stopped_early_without_being_judged() -> None:
    outcome = play(Scenario(seed=2, nodes=3, phases=SHORT), PlayConfig(until_s=5.0))
    assert outcome.ok
    assert outcome.virtual_s == 5.0


def test_the_rest_stays_broken_when_only_a_core_is_healed() -> None:
    mute = [Fault(12.0, "mute", (node,), 60.0) for node in range(5)]
    options = Options(heal="core")
    scenario = Scenario(seed=3, nodes=5, phases=SHORT, options=options, faults=tuple(mute))
    assert play(scenario).ok, "the three of the core agree; the two others are not asked"
