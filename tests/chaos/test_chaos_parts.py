"""Parts of the second world that need no root: its clock, what it can do, how it reads logs."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import attrs
import pytest

from cli.commands.chaos import CARRIERS
from cli.settings import Settings
from mesh.errors import ChaosFailed, ChaosUnavailable, ChaosUnsupported
from sim.app import chaos_command
from sim.app.chaos_command import Played
from sim.chaos import commands, faketime, kinds, namespaces, play
from sim.chaos.bridge import ruleset
from sim.chaos.builds import write_live_project
from sim.chaos.clock import LiveWorld
from sim.chaos.faketime import FakeClock
from sim.chaos.network import ChaosNetwork
from sim.chaos.play import ChaosConfig
from sim.chaos.switch import Port
from sim.chaos.watch import tracebacks
from sim.faults import KINDS
from sim.kernel.world import World
from sim.net.link import Link
from sim.oracles import Finding
from sim.scenario.files import load, save
from sim.scenario.model import Fault, Options, Phases, Scenario
from sim.scenario.play import Outcome
from sim.scenario.play import play as outcome_of

SCENARIOS = Path(kinds.__file__).resolve().parent.parent / "scenarios"


# -- the clock -----------------------------------------------------------------------------------
def test_events_happen_in_order_and_not_before_their_time() -> None:
    world = LiveWorld(1)
    seen: list[tuple[str, float]] = []
    for name, at_s in (("second", 0.06), ("first", 0.02), ("never", 9.0)):
        world.at(at_s, lambda name=name: seen.append((name, world.now_s)))  # type: ignore[misc]
    begun_s = time.monotonic()
    world.run_live(0.1, lambda: False)
    assert [name for name, _ in seen] == ["first", "second"]
    assert all(at_s >= due_s for (_, at_s), due_s in zip(seen, (0.02, 0.06), strict=True))
    assert time.monotonic() - begun_s >= 0.1


def test_an_event_that_is_late_says_so_and_time_does_not_go_back() -> None:
    world = LiveWorld(1)
    times: list[float] = []
    world.at(0.0, lambda: time.sleep(0.08))
    world.at(0.01, lambda: times.extend((world.now_s, world.late_s)))
    world.at(0.02, lambda: times.append(world.now_s))
    world.run_live(0.15, lambda: False)
    assert times[0] >= 0.08
    assert times[1] >= 0.06
    assert times[2] >= times[0]


def test_others_hand_in_what_they_saw_and_a_run_stops_when_told() -> None:
    world = LiveWorld(1)
    seen: list[str] = []
    world.post(lambda: seen.append("posted"))
    world.run_live(30.0, lambda: bool(seen))
    assert seen == ["posted"]


# -- what it can do ------------------------------------------------------------------------------
def test_every_kind_can_be_done_or_has_a_reason() -> None:
    assert kinds.REAL | kinds.WHY_NOT.keys() == set(KINDS)
    assert {name for name, kind in KINDS.items() if kind.real} == kinds.REAL
    assert CARRIERS == kinds.CARRIERS


@pytest.mark.parametrize("name", sorted(kinds.WHY_NOT))
def test_what_cannot_be_done_is_named_before_anything_starts(name: str) -> None:
    kind = KINDS[name]
    params = {param.name: param.simplest() for param in kind.params}
    whole = {param.name for param in kind.params if param.whole}
    typed = {key: int(value) if key in whole else value for key, value in params.items()}
    fault = Fault(1.0, name, tuple(range(max(1, kind.targets[0]))), 1.0, typed)
    scenario = Scenario(1, 3, faults=(fault,))
    with pytest.raises(ChaosUnsupported) as caught:
        play.check(scenario, "switch", "some.json")
    assert name in caught.value.message()
    assert kinds.WHY_NOT[name] in caught.value.message()


@pytest.mark.parametrize(
    ("number", "why"), [(1000, "only root"), (0, "is not installed")], ids=["user", "no tools"]
)
def test_where_nothing_can_be_played_it_is_said(
    monkeypatch: pytest.MonkeyPatch, number: int, why: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: number)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ChaosUnavailable) as caught:
        play.check(Scenario(1, 2), "kernel", "some.json")
    assert why in caught.value.message()
    assert "nftables" in caught.value.next_step()


def test_the_kernel_delays_nothing_and_says_so() -> None:
    delay = Fault(1.0, "delay", (1,), 1.0, {"delay_s": 0.1})
    lacking = kinds.missing(Scenario(1, 3, faults=(delay,)), "kernel")
    assert list(lacking) == ["delay"]
    assert not kinds.missing(Scenario(1, 3, faults=(delay,)), "switch")


def test_options_that_real_nodes_do_not_have_are_named() -> None:
    many = Scenario(1, kinds.NODES_MAX + 1, options=Options(swim="wan", latency_s=1.0))
    assert set(kinds.missing(many, "kernel")) == {"swim wan", "25 nodes", "latency_s"}


def test_clocks_need_the_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ahead = Fault(1.0, "clock_ahead", (1,), 1.0, {"step_s": 60.0})
    scenario = Scenario(1, 3, faults=(ahead,))
    monkeypatch.setenv(faketime.VARIABLE, str(tmp_path / "nothing"))
    assert "libfaketime" in kinds.missing(scenario, "switch")["clock_ahead"]
    (tmp_path / "library").touch()
    monkeypatch.setenv(faketime.VARIABLE, str(tmp_path / "library"))
    assert not kinds.missing(scenario, "switch")


@pytest.mark.parametrize("path", sorted(SCENARIOS.glob("*.json")), ids=lambda path: path.stem)
def test_no_scenario_file_wants_what_only_the_simulator_can_do(path: Path) -> None:
    scenario = load(path)
    used = {fault.kind for fault in scenario.faults}
    assert not used & kinds.WHY_NOT.keys()
    assert scenario.options.swim == "lan"
    assert scenario.world == "mesh"


def test_there_are_scenarios_for_every_real_kind_but_a_few() -> None:
    used = {fault.kind for path in SCENARIOS.glob("*.json") for fault in load(path).faults}
    assert len(list(SCENARIOS.glob("*.json"))) >= 12
    left_out = kinds.REAL - used
    assert left_out <= {
        *("mtu", "no_refusals", "no_multicast", "stream_reset_after", "old_disk"),
        *("disk_rot", "disk_tear", "clock_slow"),
    }


# -- small parts ---------------------------------------------------------------------------------
def test_tracebacks_are_found_in_a_log() -> None:
    log = (
        "2026 INFO all is well\nTraceback (most recent call last):\n  File x, line 1\n"
        "mesh.errors.StoreFull: no room\n2026 INFO goes on\n"
        "Traceback (most recent call last):\n  File y, line 2\nValueError\n"
    )
    assert [what for what, _ in tracebacks(log)] == ["StoreFull: no room", "ValueError"]
    assert "line 2" in tracebacks(log)[1][1]
    assert tracebacks("2026 INFO nothing\n") == []


def test_a_faked_clock_is_a_line_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "clock"
    clock = FakeClock(path)
    assert path.read_text() == "+0.000\n"
    clock.step(3600.0)
    clock.drift(1.5)
    assert path.read_text() == "+3600.000 x1.5\n"
    clock.step(-3600.0)
    clock.drift(1.0)
    assert path.read_text() == "+0.000\n"


def test_a_command_that_fails_is_quoted() -> None:
    with pytest.raises(ChaosFailed) as caught:
        commands.run("ls", "--no-such-option")
    assert "no-such-option" in caught.value.message()
    assert not commands.attempt("ls", "--no-such-option")
    with pytest.raises(ChaosFailed):
        commands.run("vitte-no-such-program")


def test_only_names_of_processes_that_are_gone_are_left_over(tmp_path: Path) -> None:
    own = namespaces.name_of("n1")
    gone = subprocess.Popen(["true"])
    os.waitid(os.P_PID, gone.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie until we wait for it
    zombie = f"vtc{gone.pid}xn0"
    (tmp_path / zombie).touch()
    assert namespaces.stale(tmp_path) == [zombie]
    (tmp_path / zombie).unlink()
    gone.wait()
    for name in (own, "vtc999999999xn0", "vtc999999999x-ab_c", "vmt77n1", "vtcx"):
        (tmp_path / name).touch()
    assert namespaces.stale(tmp_path) == ["vtc999999999x-ab_c", "vtc999999999xn0"]
    assert namespaces.stale(tmp_path / "nowhere") == []


def test_the_live_project_has_real_steps(tmp_path: Path) -> None:
    write_live_project(tmp_path, 1, 2, 0.5)
    text = (tmp_path / "vitte-dist.toml").read_text()
    assert "sim seconds" not in text
    assert 'run = "sleep 0.5; cat 1.in > out/1.txt"' in text
    assert "cat out/0.txt out/1.txt > out/all.txt" in text


def test_the_ruleset_is_one_transaction_that_says_what_the_rules_say() -> None:
    hosts = ("10.0.0.1", "10.0.0.2")
    ports = [Port(n, host, bytes(6)) for n, host in enumerate(hosts)]
    network = ChaosNetwork(World(1), Link(), ports)
    calm = "\n".join(ruleset(ports, network))
    assert "elements" not in calm
    network.cut(*hosts)
    network.degrade(hosts[1], hosts[0], loss=0.2, corruption=0.1)
    text = "\n".join(ruleset(ports, network))
    assert "elements = { 10.0.0.1 . 10.0.0.2 }" in text
    assert "ip saddr 10.0.0.2 ip daddr 10.0.0.1 numgen random mod 1000 < 200 drop" in text
    assert text.startswith("add table bridge vitte\ndelete table bridge vitte\ntable bridge")


def test_two_worlds_are_compared_and_the_last_line_is_the_verdict(
    capsys: pytest.CaptureFixture[str],
) -> None:
    phases = Phases(warm_up_s=8.0, chaos_s=1.0, settle_s=1.0, canary_s=15.0)
    outcome = outcome_of(Scenario(1, 3, phases=phases))
    worse = attrs.evolve(outcome, findings=(Finding("false-death", 1.0, "node 1 died"),))
    path = Path("a-story.json")
    lines = _said([Played(path, outcome, outcome)], capsys)
    figure = f"{outcome.figures['crash_known_s']:.4g}"
    assert f"{figure} / {figure}" in lines[1]
    assert lines[-1] == "ok"
    assert _said([Played(path, worse, None)], capsys)[-1] == "FAILED: a-story (false-death)"
    said = _said([Played(path, outcome, worse)], capsys)[-1]
    assert said == "FAILED: a-story (simulated: false-death)"


def test_a_batch_goes_on_after_a_file_that_could_not_be_played(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    phases = Phases(warm_up_s=8.0, chaos_s=1.0, settle_s=1.0, canary_s=0.0)
    scenarios = [Scenario(seed, 3, phases=phases) for seed in (1, 2, 3)]
    paths = [tmp_path / f"story-{scenario.seed}.json" for scenario in scenarios]
    for path, scenario in zip(paths, scenarios, strict=True):
        save(scenario, path)

    def play_or_break(scenario: Scenario, _: ChaosConfig) -> Outcome:
        if scenario.seed == 2:
            raise ChaosFailed(what="start of node-1", why="killed")
        return outcome_of(scenario)

    monkeypatch.setattr(chaos_command, "play_live", play_or_break)
    monkeypatch.setattr(chaos_command, "check", lambda *_: None)
    monkeypatch.setattr(chaos_command, "die_with_parent", lambda _: None)
    request = {"carrier": "switch", "files": [str(p) for p in paths], "compare": False}
    assert chaos_command.main(request, Settings()) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "FAILED: story-2 (stage)"
    with pytest.raises(ChaosFailed):
        chaos_command.main({**request, "files": [str(paths[1])]}, Settings())


def _said(played: list[Played], capsys: pytest.CaptureFixture[str]) -> list[str]:
    chaos_command._print_table(played)
    chaos_command._print_verdict(played)
    return capsys.readouterr().out.splitlines()
