"""Options of a start are remembered; what is said now goes first; damage is no obstacle."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.limits import COPIES_DEFAULT, COPIES_MAX
from mesh.node import __main__ as process
from mesh.node import options
from mesh.ports.real.disk import RealDisk
from mesh.state.actions import TrustPolicy
from mesh.state.events import Trust
from mesh.swim.config import LAN, LOOPBACK, WAN, SwimConfig, profile_for


def test_what_was_said_is_remembered_and_defaults_are_not(tmp_path: Path) -> None:
    given = {"bind": "127.0.0.1", "slots": 3, "name": None, "discovery": None, "sandbox": None}
    (tmp_path / options.OPTIONS_FILE).write_bytes(options.encode(options.combine({}, given)))
    assert options.recall(RealDisk(tmp_path)) == {"bind": "127.0.0.1", "slots": 3}


def test_what_is_said_now_goes_before_what_was_said_earlier() -> None:
    earlier: options.Options = {"bind": "127.0.0.1", "discovery": "none"}
    now = {"bind": "10.0.0.1", "discovery": None}
    assert options.combine(earlier, now) == {"bind": "10.0.0.1", "discovery": "none"}


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"bind": [1]}', '{"unknown": "x"}'])
def test_a_damaged_file_means_no_options(tmp_path: Path, damage: str) -> None:
    (tmp_path / options.OPTIONS_FILE).write_text(damage)
    assert options.recall(RealDisk(tmp_path)) == {}


@pytest.mark.parametrize(
    ("name", "host", "expected"),
    [
        ("", "127.0.0.1", LOOPBACK),
        ("", "::1", LOOPBACK),
        ("", "192.0.2.7", LAN),
        ("wan", "127.0.0.1", WAN),
        ("lan", "127.0.0.1", LAN),
        ("loopback", "192.0.2.7", LOOPBACK),
        ("of an older version", "192.0.2.7", LAN),
    ],
)
def test_the_profile_is_what_was_said_or_what_suits_the_address(
    name: str, host: str, expected: SwimConfig
) -> None:
    assert profile_for(name, host) == expected


def test_a_profile_is_remembered(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path)
    disk.write(options.OPTIONS_FILE, options.encode({"profile": "wan"}))
    assert options.combine(options.recall(disk), {"profile": None}) == {"profile": "wan"}


@pytest.mark.parametrize(
    ("said", "copies"),
    [([], COPIES_DEFAULT), (["--copies", "4"], 4), (["--copies", "999"], COPIES_MAX)],
)
def test_the_number_of_copies_is_said_once_and_bounded(
    tmp_path: Path, said: list[str], copies: int
) -> None:
    here = ["--home", str(tmp_path), "--bind", "127.0.0.1"]
    config = process._config(process._parser().parse_args([*here, *said]))
    assert config.copies == copies
    RealDisk(tmp_path).write(options.OPTIONS_FILE, config.said)
    assert process._config(process._parser().parse_args(here)).copies == copies


@pytest.mark.parametrize(
    ("said", "policy"),
    [
        ("any", TrustPolicy()),
        ("own", TrustPolicy(Trust.OWN)),
        ("2", TrustPolicy(Trust.K_BUILDERS, 2)),
        ("64", TrustPolicy(Trust.K_BUILDERS, 64)),
    ],
)
def test_whose_results_to_take_is_one_word(said: str, policy: TrustPolicy) -> None:
    assert options.trust_policy(said) == policy


@pytest.mark.parametrize("said", ["", "0", "65", "-1", "everybody", "٢"])
def test_another_word_for_trust_is_refused(said: str) -> None:
    with pytest.raises(ValueError, match=f"^{said}$"):
        options.trust_policy(said)
