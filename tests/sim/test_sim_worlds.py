"""A scenario is of a world: what that world does not have is a mistake in the file."""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import pytest
from calling import vitte

from mesh.errors import ChaosForeignWorld
from sim.chaos.play import check
from sim.faults import KINDS, tell
from sim.scenario.files import BadScenarioFile, dumps, loads
from sim.scenario.model import WORLDS, BadScenario, Fault, Phases, Scenario, Workload
from sim.scenario.play import play
from sim.story import tell_story

CRASH = Fault(1.0, "crash", (1,), 1.0)


def fault_of(name: str, nodes: int = 1) -> Fault:
    """The mildest fault of a kind, on so many nodes or as few as it takes."""
    kind = KINDS[name]
    params = {param.name: param.simplest() for param in kind.params}
    whole = {param.name for param in kind.params if param.whole}
    typed = {key: int(value) if key in whole else value for key, value in params.items()}
    return Fault(1.0, name, tuple(range(max(nodes, kind.targets[0]))), 1.0, typed)


@pytest.mark.parametrize(
    ("world", "kind", "has"),
    [
        ("membership", "disk_rot", "worlds mesh and state"),
        ("membership", "stream_reset", "world mesh"),
        ("mesh", "equivocate", "world state"),
        ("state", "serial_cut", "world mesh"),
    ],
)
def test_a_kind_that_the_world_of_a_file_does_not_have_is_told_with_its_line(
    world: str, kind: str, has: str, tmp_path: Path
) -> None:
    text = dumps(Scenario(1, 3, world=world, faults=(CRASH, fault_of(kind))))
    (tmp_path / "f.json").write_text(text, encoding="utf-8")
    line = text[: text.index(f'"kind": "{kind}"')].count("\n") + 1
    done = vitte("sim", "replay", "f.json", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    where = f"error[VM701]: f.json:{line}: faults/1/kind: "
    assert f"{where}there is no {kind} in the world {world}, only in the {has}\n" in done.stderr


@pytest.mark.parametrize("world", WORLDS)
def test_files_load_when_their_world_has_the_kinds_and_only_then(world: str) -> None:
    for name, kind in KINDS.items():
        scenario = Scenario(1, 3, world=world, faults=(fault_of(name),))
        if world in kind.worlds:
            assert loads(dumps(scenario)) == scenario
            continue
        with pytest.raises(BadScenarioFile, match=f"no {name} in the world {world}"):
            loads(dumps(scenario))
        with pytest.raises(BadScenario, match=f"no {name} in the world {world}"):
            play(scenario)


@pytest.mark.parametrize("world", WORLDS)
def test_builds_are_for_whole_nodes(world: str) -> None:
    text = dumps(Scenario(1, 3, world=world, workload=Workload(runs=1, shards=2)))
    if world == "mesh":
        assert loads(text).workload.runs == 1
        return
    with pytest.raises(BadScenarioFile, match="nobody builds in the world") as caught:
        loads(text)
    assert caught.value.line == text[: text.index('"workload"')].count("\n") + 1


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('"at_s": 1.0', '"at_s": -1.0', "faults/0/at_s: must be 0 or more"),
        ('"at_s": 1.0', '"at_s": 81', "faults/0/at_s: must lie before the heal at 80 s"),
        ('"for_s": 1.0', '"for_s": -1.0', "faults/0/for_s: must be between 0 and a year"),
        ('"target": [1]', '"target": []', "faults/0/target: crash needs 1 to 3 nodes"),
    ],
)
def test_times_and_targets_that_cannot_be_are_named(old: str, new: str, why: str) -> None:
    text = dumps(Scenario(1, 3, faults=(CRASH,)))
    assert text.count(old) == 1
    with pytest.raises(BadScenarioFile) as caught:
        loads(text.replace(old, new))
    assert why in caught.value.why


# -- the second world ----------------------------------------------------------------------------
def test_real_processes_do_not_play_replicas_and_say_so(tmp_path: Path) -> None:
    text = dumps(Scenario(1, 3, world="state"))
    (tmp_path / "s.json").write_text(text, encoding="utf-8")
    done = vitte("chaos", "s.json", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "error[VM706]: s.json: real processes are whole nodes; the world `state`" in done.stderr
    said = json.loads(vitte("chaos", "s.json", "--json", folder=tmp_path).stdout)
    assert said["error"]["code"] == "VM706"


@pytest.mark.parametrize("carrier", ["switch", "kernel"])
def test_replicas_are_refused_before_it_is_asked_what_this_machine_can_do(carrier: str) -> None:
    replicas = Scenario(1, 3, world="state", faults=(fault_of("equivocate"),))
    with pytest.raises(ChaosForeignWorld):
        check(replicas, carrier, "s.json")


# -- words ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("world", "nodes", "opening"),
    [
        ("mesh", 1, "1 whole node,"),
        ("membership", 2, "2 membership cores,"),
        ("state", 1, "1 replica of the log,"),
        ("state", 2, "2 replicas of the log,"),
    ],
)
def test_a_story_says_what_played(world: str, nodes: int, opening: str) -> None:
    phases = Phases(warm_up_s=1, chaos_s=0, settle_s=0, canary_s=0)
    outcome = play(Scenario(1, nodes, world=world, phases=phases))
    lines = tell_story(outcome)
    assert lines[0].startswith(opening)
    assert ("joins through node 0" in lines[1]) == (world != "state" and nodes > 1)


@pytest.mark.parametrize(
    ("name", "one", "two"),
    [
        ("deaf", "nothing reaches node 0", "nothing reaches nodes 0 and 1"),
        (
            "stream_refused",
            "connections to node 0 are refused",
            "connections to nodes 0 and 1 are refused",
        ),
        (
            "disk_rot",
            "a file of node 0 rots where it lies, by 1 bit",
            "a file of nodes 0 and 1 rots where it lies, by 1 bit",
        ),
        ("leave", "node 0: gone in good order, and", "nodes 0 and 1: gone in good order, and"),
    ],
)
def test_sentences_hold_for_one_and_for_several(name: str, one: str, two: str) -> None:
    assert tell(fault_of(name, 1)).startswith(one)
    assert tell(fault_of(name, 2)).startswith(two)


def test_numbers_agree_with_their_nouns() -> None:
    rot = attrs.evolve(fault_of("disk_rot"), params={"bits": 3})
    assert tell(rot).endswith("by 3 bits")
    assert tell(fault_of("small_buffers")).endswith("hold 1 datagram")
    assert "for 1 use is" in tell(fault_of("overuse"))
