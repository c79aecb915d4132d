"""Since when a peer is away, and what waits for it: over restarts, and for ourselves."""

from __future__ import annotations

from pathlib import Path

import trio

from mesh.node.real_env import real_env
from mesh.node.state.partings import FILE, SAVE_AFTER_S, Partings
from mesh.ports.real.discovery import StaticDiscovery
from mesh.types import NodeId

ME, BOB, EVE = (NodeId(bytes([each]) * 32) for each in (1, 2, 3))


async def test_what_comes_after_a_link_ended_waits_for_the_peer(tmp_path: Path) -> None:
    env = real_env(tmp_path, StaticDiscovery())
    events = [10]
    partings = Partings(env, ME, lambda: events[0])
    partings.link_up(BOB)
    partings.link_up(EVE)
    events[0] = 25
    assert partings.away(BOB) is None
    partings.link_down(BOB)
    events[0] = 32
    away = partings.away(BOB)
    assert away is not None
    assert away.waiting_events == 7
    assert abs(away.since_unix_s - env.clock.wall()) < 60
    assert partings.away(ME) is None, "eve is there"
    partings.link_down(EVE)
    events[0] = 33
    waiting = {node: getattr(partings.away(node), "waiting_events", None) for node in (ME, EVE)}
    assert waiting == {ME: 1, EVE: 1}
    partings.link_up(BOB)
    assert partings.away(BOB) is None
    assert partings.away(ME) is None


async def test_it_is_remembered_over_a_restart_and_a_bad_file_is_forgotten(tmp_path: Path) -> None:
    env = real_env(tmp_path, StaticDiscovery())
    partings = Partings(env, ME, lambda: 100)
    partings.link_up(BOB)
    partings.link_down(BOB)
    before = partings.away(BOB)
    with trio.fail_after(20 * SAVE_AFTER_S):
        while env.disk.read(FILE) is None:  # noqa: ASYNC110 - a file tells nobody
            await trio.sleep(0.01)
    again = Partings(env, ME, lambda: 140).away(BOB)
    assert before is not None
    assert again is not None
    assert (again.since_unix_s, again.waiting_events) == (before.since_unix_s, 40)
    env.disk.write(FILE, b"nonsense")
    fresh = Partings(env, ME, lambda: 140).away(BOB)
    assert fresh is not None
    assert fresh.waiting_events == 0
    env.disk.close()


async def test_a_cut_that_makes_the_log_shorter_makes_no_negative_count(tmp_path: Path) -> None:
    events = [10]
    partings = Partings(real_env(tmp_path, StaticDiscovery()), ME, lambda: events[0])
    partings.link_up(BOB)
    partings.link_down(BOB)
    events[0] = 4
    away = partings.away(BOB)
    assert away is not None
    assert away.waiting_events == 0
