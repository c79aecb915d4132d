"""`vitte rule` as people call it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

THERMOSTAT = """
LIMIT = 80.0
relay = gpio(5)

@every("1s")
def thermostat(was_hot: bool = False):
    hot = adc(0) * 0.1 > LIMIT
    relay.set(hot)
    if hot and not was_hot:
        emit(1, adc(0))
    was_hot = hot
"""


def vitte(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "cli.main", "rule", *words]
    environment = {**os.environ, "NO_COLOR": "1"}
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, env=environment)


@pytest.fixture
def thermostat(tmp_path: Path) -> Path:
    path = tmp_path / "thermostat.py"
    path.write_text(THERMOSTAT)
    return path


def test_check_says_where_it_runs_and_what_it_costs(thermostat: Path) -> None:
    done = vitte("check", str(thermostat), "--json")
    view = json.loads(done.stdout)

    assert done.returncode == 0, done.stderr
    assert view["resources"] == ["adc(0)", "gpio(5)"]
    assert view["boards"] == ["stm32f405", "stm32h7a3", "nrf52840", "rp2040", "linux"]
    assert view["rules"][0]["name"] == "thermostat"
    assert view["rules"][0]["worst"] <= 20


def test_run_shows_the_relay_following_the_input(thermostat: Path) -> None:
    inputs = ("--input", "adc(0)=700", "--input", "adc(0)=850@3s", "--input", "adc(0)=600@7s")
    done = vitte("run", str(thermostat), *inputs, "--for", "10s")

    lines = [line.split() for line in done.stdout.splitlines()]
    assert [(line[0], line[3]) for line in lines] == [
        ("1.000", "gpio(5).set(0)"),
        ("3.000", "gpio(5).set(1)"),
        ("3.000", "emit(1,"),
        ("7.000", "gpio(5).set(0)"),
    ]
    assert "10 runs" in done.stderr


def test_compile_then_disassemble(thermostat: Path) -> None:
    assert vitte("compile", str(thermostat)).returncode == 0
    compiled = thermostat.with_suffix(".rules")
    text = vitte("disassemble", str(compiled)).stdout

    assert compiled.stat().st_size < 120
    assert "ACT gpio(5), r" in text
    assert text.rstrip().endswith("RET")
    assert (
        "rule 0: every 1000 ms" in vitte("disassemble", str(compiled), "--board", "rp2040").stdout
    )


def test_a_mistake_is_shown_with_its_line_and_a_caret(tmp_path: Path) -> None:
    path = tmp_path / "wrong.py"
    path.write_text('@every("1s")\ndef r():\n    gpio(5).set(adc(0) * 0.1)\n')
    done = vitte("check", str(path))

    assert done.returncode == 2
    assert done.stdout == ""
    first, code, caret, hint = done.stderr.splitlines()
    assert first == f"error[VM602]: {path}:3:17: a pin is high or low"
    assert code == "    gpio(5).set(adc(0) * 0.1)"
    assert caret == "                ^^^^^^^^^^^^"
    assert hint.startswith("hint: ")


def test_what_a_board_does_not_have_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "dac.py"
    path.write_text('@every("1s")\ndef r():\n    dac(0).set(1)\n')

    assert vitte("check", str(path), "--board", "stm32f405").returncode == 0
    done = vitte("check", str(path), "--board", "rp2040")
    assert done.returncode == 2
    assert "the board has no dac(0)" in done.stderr


def test_bytes_that_are_no_program_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "noise.rules"
    path.write_bytes(bytes(range(64)))
    done = vitte("disassemble", str(path))

    assert done.returncode == 2
    assert "it is no compiled program" in done.stderr


def test_a_question_is_answered_into_its_slot(tmp_path: Path) -> None:
    path = tmp_path / "ask.py"
    path.write_text(
        '@every("1s")\ndef r(reply: int = 0):\n    ask(3, 5, into=reply)\n    dac(0).set(reply)\n'
    )
    view = json.loads(vitte("run", str(path), "--answer", "3=77", "--for", "2s", "--json").stdout)

    assert [event["what"] for event in view["events"]] == [
        "dac(0).set(0)",
        "ask(3, 5)",
        "dac(0).set(77)",
        "ask(3, 5)",
    ]
    assert view["rules"][0]["slots"] == [77]


def test_rules_run_on_this_machine_through_adapters(tmp_path: Path, thermostat: Path) -> None:
    (tmp_path / "temp").write_text("850\n")
    adapters = tmp_path / "adapters.toml"
    adapters.write_text(
        f'"adc(0)" = {{ file = "{tmp_path}/temp" }}\n"gpio(5)" = {{ file = "{tmp_path}/relay" }}\n'
    )
    done = vitte("run", str(thermostat), "--adapters", str(adapters), "--for", "1200ms")

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "relay").read_text() == "1\n"
    assert "emit(1, 850)" in done.stdout
