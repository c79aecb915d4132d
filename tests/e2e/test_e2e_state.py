"""The shared state with real processes in network namespaces: halves that go on alone and merge,
and one that is shut out. Disks that were restored or damaged: `test_e2e_state_disks`."""

from __future__ import annotations

from pathlib import Path

import pytest
from cluster import eventually
from lab import STEPS, Lab, all_hits, audit, build, project, row, same_log, status
from netns import need_root

_WHY_NOT = need_root()
pytestmark = pytest.mark.skipif(_WHY_NOT is not None, reason=str(_WHY_NOT))


def test_two_halves_build_apart_and_have_everything_together(lab: Lab, tmp_path: Path) -> None:
    paris, lyon, brest, nice = lab.machines
    lab.network.split([brest.host, nice.host])
    eventually(lambda: row(paris, "brest")["offline_since_unix_s"] is not None, "brest away")
    eventually(lambda: row(brest, "paris")["offline_since_unix_s"] is not None, "paris away")
    build(paris, project(tmp_path / "left", "left"))
    build(brest, project(tmp_path / "right", "right"))
    eventually(lambda: row(paris, "brest")["waiting_events"] >= STEPS, "what waits for brest")
    text = paris.vitte("dist", "status")
    assert "OFFLINE since" in text
    assert all_hits(lyon, tmp_path, "left"), "the half had its own results"
    lab.network.heal()
    eventually(lambda: same_log(lab.machines), "one log again", 60.0)
    for machine in lab.machines:
        assert all_hits(machine, tmp_path, "left"), machine.name
        assert all_hits(machine, tmp_path, "right"), machine.name
    assert row(paris, "brest")["offline_since_unix_s"] is None
    for machine in lab.machines:
        assert audit(machine)["whole"], machine.name


def test_a_node_alone_says_what_waits_for_the_others(lab: Lab, tmp_path: Path) -> None:
    nice = lab.machines[3]
    lab.network.unplug(nice.host)
    eventually(lambda: row(nice, "nice")["offline_since_unix_s"] is not None, "nice alone")
    build(nice, project(tmp_path / "alone", "alone"))
    eventually(lambda: row(nice, "nice")["waiting_events"] >= STEPS, "its own events")
    lab.network.plug(nice.host)
    eventually(lambda: same_log(lab.machines), "one log again", 60.0)
    assert row(nice, "nice")["offline_since_unix_s"] is None
    # (What others had told about it can be there before paris has found it again.)
    eventually(lambda: row(lab.paris, "nice")["offline_since_unix_s"] is None, "nice is back")
    assert all_hits(lab.paris, tmp_path, "alone")


def test_a_revoked_node_is_out_at_once(lab: Lab) -> None:
    nice = lab.machines[3]
    view = lab.paris.json("mesh", "revoke", "nice", "--reason", "sold")
    assert view["name"] == "nice"
    for machine in lab.machines[:3]:
        assert "nice" not in {node["name"] for node in status(machine)["nodes"]}
    eventually(lambda: nice.sees_alive() <= 1, "nice to be alone", 60.0)
    said = lab.paris.json("audit", "log", "--node", "paris")["events"]
    details = [each["details"] for each in said]
    reasons = [e["value"] for e in details if str(e.get("key", "")).startswith("removed/")]
    assert reasons == ["sold"]
