"""A sample of what `vitte sim explore --profile state` plays, and that its oracles are awake."""

from __future__ import annotations

import pytest

from sim.mutants.hunt import hunt
from sim.mutants.plant import planted
from sim.mutants.removals import REMOVALS
from sim.mutants.replicas import REPLICAS
from sim.scenario.files import dumps, loads
from sim.scenario.model import Fault, Scenario
from sim.scenario.play import Outcome, play
from sim.scenario.profiles import Wish, draw

NODES = 4


def outcome(*faults: Fault, seed: int = 1) -> Outcome:
    """A run with these faults only."""
    base = draw(Wish(seed, "state", NODES))
    return play(base.with_faults(faults))


@pytest.mark.parametrize("seed", range(8))
def test_a_seed_passes(seed: int) -> None:
    done = play(draw(Wish(seed, "state", NODES)))
    assert done.ok, done.findings[0]


def test_the_profile_is_played_on_replicas_and_survives_a_file() -> None:
    scenario = draw(Wish(3, "state", NODES))
    assert scenario.world == "state"
    assert loads(dumps(scenario)) == scenario


def test_the_same_seed_is_the_same_run() -> None:
    scenario: Scenario = draw(Wish(5, "state", NODES))
    assert play(scenario).digest == play(scenario).digest


def test_two_histories_of_one_key_are_found_out_by_all() -> None:
    done = outcome(Fault(9.0, "equivocate", (2,)))
    assert done.ok, done.findings[0]
    assert done.figures["forks"] == 1


def test_a_restored_disk_and_a_copied_key_fork_nothing() -> None:
    done = outcome(
        Fault(5.0, "old_disk", (1,), 4.0),
        Fault(6.0, "twin", (2,)),
        Fault(8.0, "amnesia", (3,), 2.0),
    )
    assert done.ok, done.findings[0]
    assert done.figures["forks"] == 0


def test_a_stolen_key_writes_in_vain_after_its_removal() -> None:
    done = outcome(Fault(7.0, "remove", (2,)))
    assert done.ok, done.findings[0]


THEFT = (
    Fault(6.5, "checkpoint", (0, 1, 2)),
    Fault(7.0, "steal", (2,), 4.0),
    Fault(8.0, "prune", (0, 1, 3)),
)
"""Bodies are let go for what the thief says, and are wanted again."""


def test_a_thief_is_believed_by_nobody_and_what_was_made_from_its_word_is_withheld() -> None:
    done = outcome(*THEFT)
    assert done.ok, done.findings[0]
    assert (done.figures["thefts"], done.figures["withdrawn"]) == (1, 1)


@pytest.mark.parametrize(
    ("name", "oracle"),
    [
        ("covers-beyond-the-cut", "covers-differ"),
        ("ended-admission-heard", "thief-heard"),
        ("unnamed-heard", "thief-heard"),
        ("taint-ends-at-once", "taint-forgotten"),
    ],
)
def test_what_lets_a_thief_have_its_way_is_seen(name: str, oracle: str) -> None:
    with planted(next(each for each in REMOVALS if each.name == name)):
        done = outcome(*THEFT)
    assert oracle in [each.oracle for each in done.findings]


def test_checkpoints_and_clearing_up_change_nothing_that_is_seen() -> None:
    done = outcome(
        Fault(6.0, "checkpoint", (0, 1, 2)),
        Fault(8.0, "checkpoint", (0, 1, 3)),
        Fault(10.0, "prune", (0, 1, 2)),
        Fault(11.0, "bounce", (1,)),
        Fault(12.0, "amnesia", (3,), 1.0),
    )
    assert done.ok, done.findings[0]


def test_who_signs_anew_what_was_signed_long_ago_is_found_out() -> None:
    done = outcome(Fault(6.0, "checkpoint", (2,)), Fault(12.0, "rewrite", (2,)))
    assert done.ok, done.findings[0]
    assert done.figures["forks"] == 1


def test_two_halves_that_were_told_two_things_find_it_out() -> None:
    done = outcome(Fault(9.0, "two_faces", (2,)))
    assert done.ok, done.findings[0]
    assert done.figures["forks"] == 1


def test_admins_that_remove_each_other_are_out_everywhere() -> None:
    done = outcome(
        Fault(6.0, "isolate", (1,), 4.0), Fault(7.0, "feud", (2,)), Fault(12.0, "bounce", (3,))
    )
    assert done.ok, done.findings[0]


def test_who_is_removed_and_admitted_by_two_at_once_is_heard_again() -> None:
    done = outcome(Fault(6.0, "isolate", (1,), 4.0), Fault(7.0, "readmit", (2,)))
    assert done.ok, done.findings[0]


def test_an_invite_lets_in_as_many_as_it_says() -> None:
    done = outcome(
        Fault(6.0, "partition", (0, 2), 4.0),
        Fault(7.0, "overuse", (0,), 0.0, {"uses": 1}),
        Fault(7.5, "overuse", (0,), 0.0, {"uses": 2}),
    )
    assert done.ok, done.findings[0]


def test_two_years_away_bring_nothing_back_and_lose_nothing() -> None:
    done = outcome(
        Fault(6.0, "away", (3,), 4.0),
        Fault(7.0, "checkpoint", (0, 1, 2)),
        Fault(11.0, "prune", (0, 1, 2)),
    )
    assert done.ok, done.findings[0]


def test_a_full_disk_and_little_room_are_survived() -> None:
    done = outcome(
        Fault(5.0, "disk_full", (1,), 4.0, {"free_bytes": 0}),
        Fault(8.0, "squeeze", (2,), 0.0, {"room_bytes": 500}),
        Fault(9.5, "bounce", (1,)),
    )
    assert done.ok, done.findings[0]


LONG_FULL = Fault(5.0, "disk_full", (1,), 9.0, {"free_bytes": 0})


def test_a_disk_that_is_full_for_long_costs_no_more_memory_than_there_is_room_for() -> None:
    done = outcome(LONG_FULL)
    assert done.ok, done.findings[0]


def test_without_a_bound_what_waits_for_a_full_disk_is_seen() -> None:
    with planted(next(each for each in REPLICAS if each.name == "room-without-end")):
        done = outcome(LONG_FULL)
    assert [each.oracle for each in done.findings[:1]] == ["unwritten"]


def test_a_leaf_is_kept_once_by_all_its_gateways() -> None:
    done = outcome(Fault(6.0, "isolate", (1,), 4.0))
    assert done.ok, done.findings[0]
    assert done.figures["leaf_events"] > 10


@pytest.mark.parametrize(
    ("name", "squeezed_bytes"), [("dropped-in-silence", 500), ("nothing-dropped", 500)]
)
def test_what_retention_hides_is_seen(name: str, squeezed_bytes: int) -> None:
    mutant = next(each for each in REPLICAS if each.name == name)
    with planted(mutant):
        done = outcome(Fault(10.0, "squeeze", (1,), 0.0, {"room_bytes": squeezed_bytes}))
    assert [each.oracle for each in done.findings[:1]] == ["silent-loss"]


@pytest.mark.parametrize(
    "name",
    [
        "epoch-reused",
        "always-compares",
        "oldest-first",
        "k-counts-records",
        "cut-by-time",
        "heads-without-digest",
        "cut-without-head",
        "counted-by-entry",
    ],
)
def test_a_planted_bug_is_found(name: str) -> None:
    mutant = next(each for each in (*REPLICAS, *REMOVALS) if each.name == name)
    hunted = hunt(mutant, 10)
    assert hunted.killed, hunted
    assert hunted.oracle in mutant.oracles
