"""The verdict on planted bugs: only the oracles that a bug names kill it; areas; what is told."""

from __future__ import annotations

import attrs
import pytest

from sim.app.mutants_command import view
from sim.mutants.catalogue import AREA_OF, AREAS, MUTANTS
from sim.mutants.hunt import Hunted, hunt
from sim.mutants.links import LINKS
from sim.mutants.plant import Mutant
from sim.mutants.ports import PORTS

BY_NAME = {mutant.name: mutant for mutant in MUTANTS}
QUICK = (
    *("epoch-not-synced", "epoch-not-stored", "members-not-stored", "wall-for-monotonic"),
    *("socket-not-drained", "drained-for-nothing", "arrival-ignored", "first-of-many"),
    *("timer-not-moved", "stream-left-open", "lost-while-sending"),
)
"""Of ports and links, those that are found within seconds."""


@pytest.mark.parametrize("name", QUICK)
def test_bugs_of_ports_and_links_are_found_by_the_oracle_that_they_name(name: str) -> None:
    hunted = hunt(BY_NAME[name], seeds=4)
    assert hunted.verdict == "killed", hunted
    assert hunted.oracle in BY_NAME[name].oracles


def test_a_finding_by_another_oracle_is_shown_and_kills_nothing() -> None:
    bug = attrs.evolve(BY_NAME["nonce-reused"], oracles=("goodbye-unheard",))
    hunted = hunt(bug, seeds=2)
    assert (hunted.killed, hunted.verdict) == (False, "found by another oracle")
    assert hunted.other in BY_NAME["nonce-reused"].oracles
    assert hunted.other_text
    assert (hunted.oracle, hunted.seed) == ("", -1)
    assert hunted.runs == 2, "the hunt goes on"
    figures = view([hunted])
    assert (figures["planted"], figures["killed"], figures["found_by_another"]) == (1, 0, 1)
    assert figures["mutants"][0]["verdict"] == "found by another oracle"


def test_what_nobody_sees_is_alive_and_what_does_not_fit_says_so() -> None:
    harmless = attrs.evolve(BY_NAME["nonce-reused"], edits=())
    assert hunt(harmless, seeds=1).verdict == "alive"
    edit = attrs.evolve(BY_NAME["nonce-reused"].edits[0], old="what never stood there")
    hunted = hunt(attrs.evolve(harmless, edits=(edit,)), seeds=1)
    assert (hunted.verdict, hunted.killed, hunted.runs) == ("does not apply", False, 0)


def test_the_hunt_ends_when_its_time_is_up() -> None:
    harmless = attrs.evolve(BY_NAME["nonce-reused"], edits=())
    hunted = hunt(harmless, seeds=1000, cpu_max_s=0.5)
    assert not hunted.killed
    assert 0.5 < hunted.cpu_s < 20
    assert 0 < hunted.runs < 1000


def test_every_bug_has_one_area_and_each_area_is_counted() -> None:
    assert list(AREAS) == ["membership", "ports", "transport", "work", "state", "blobs"]
    assert sorted(AREA_OF) == sorted(BY_NAME)
    hunted = [Hunted(mutant.name, killed=mutant.name != "no-mac") for mutant in MUTANTS]
    figures = view(hunted)
    assert figures["killed"] == figures["planted"] - 1 == len(MUTANTS) - 1
    for area, bugs in AREAS.items():
        alive = any(bug.name == "no-mac" for bug in bugs)
        expected = {"planted": len(bugs), "killed": len(bugs) - alive}
        assert figures["areas"][area] == expected
    assert {row["area"] for row in figures["mutants"]} == set(AREAS)


def _edits(mutants: tuple[Mutant, ...]) -> set[str]:
    return {edit.module for mutant in mutants for edit in mutant.edits}


def test_there_are_enough_bugs_of_ports_and_of_links_and_streams() -> None:
    assert len(PORTS) >= 8
    assert len(LINKS) >= 8
    assert {"mesh.node.epoch", "mesh.node.gossip", "mesh.node.peers_file"} <= _edits(PORTS)
    assert {"mesh.node.link", "mesh.node.links", "mesh.wire.frame"} <= _edits(LINKS)
