"""When rumours are told, and when they wait."""

from __future__ import annotations

import pytest

from mesh.swim.core import Swim
from mesh.swim.effects import State
from sim.swim_world import SwimWorld


def turns_of_a_timer(mesh: SwimWorld, for_s: float, patch: pytest.MonkeyPatch) -> int:
    """How often timers fire, over all nodes."""
    turns, handle_timer = 0, Swim.handle_timer

    def counted(self: Swim, now_s: float) -> object:
        nonlocal turns
        turns += 1
        return handle_timer(self, now_s)

    with patch.context() as patched:
        patched.setattr(Swim, "handle_timer", counted)
        mesh.run(for_s)
    return turns


def test_a_mesh_of_two_sleeps_when_each_knows_all_about_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mesh = SwimWorld(1, 2)
    mesh.start_all()
    assert mesh.run_until(mesh.converged, within_s=20)
    mesh.run(5)
    assert turns_of_a_timer(mesh, 10.0, monkeypatch) < 120, "400 when rumours are offered in vain"


def test_what_could_not_be_told_is_told_to_whoever_comes() -> None:
    mesh = SwimWorld(1, 3)
    mesh[1].join(mesh[0])
    assert mesh.run_until(lambda: mesh[0].sees(mesh[1]) == State.ALIVE, within_s=20)
    mesh.run(5)
    mesh[2].join(mesh[0])
    assert mesh.run_until(mesh.converged, within_s=5)
    mesh[1].kill()
    assert mesh.run_until(lambda: mesh[2].sees(mesh[1]) != State.ALIVE, within_s=10)
