"""How replicas keep less: checkpoints, and bodies that are dropped (see `sim.faults.state`).

Deliberately not here: what is dropped (`mesh.log.retention`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from mesh.errors import EnvironmentFault
from mesh.limits import MIB
from mesh.log.model import FeedId, Lane
from mesh.log.retention import RetentionConfig, clear_up
from mesh.log.segments import Held
from sim.faults.model import Begin, Undo, choose, over
from sim.scenario.model import Fault
from sim.state.node import StateNode

if TYPE_CHECKING:
    from sim.stage.base import Stage
    from sim.state.stage import StateStage

AWAY_S = 2 * 365.25 * 86_400


def _of(stage: Stage) -> StateStage:
    return cast("StateStage", stage)


def _checkpoint(stage: Stage, fault: Fault) -> Undo:
    state = _of(stage)
    rng = stage.world.rng(f"{fault.kind} {fault.target} at {stage.world.now_s}")
    for index in fault.target:
        state.checkpoint(index, choose(rng, list(Lane), 1)[0])
    return over


def _prune(stage: Stage, fault: Fault) -> Undo:
    """What a checkpoint covers goes from the disk, at once."""
    state = _of(stage)
    config = RetentionConfig(max_buffer_age_hours=-1.0)
    for index in fault.target:
        node = state.nodes[index]
        if node.replica is not None and node.store is not None:
            _clear(state, node, config)
            state.watch.overdue += sum(_is_overdue(state, node, each) for each in node.store.held())
    return over


def _squeeze(stage: Stage, fault: Fault) -> Undo:
    """There is room for so many bodies only."""
    state, room_bytes = _of(stage), fault.number("room_bytes")
    config = RetentionConfig(max_buffer_size_mb=room_bytes / MIB)
    for index in fault.target:
        node = state.nodes[index]
        if node.replica is not None and node.store is not None:
            _clear(state, node, config)
            held_bytes = sum(each.size_bytes for each in node.store.held())
            state.watch.over_room += held_bytes > room_bytes
    return over


def _away(stage: Stage, fault: Fault) -> Undo:
    """Gone when it begins; when it ends two years have passed for everybody, in which the others
    have said in checkpoints what they had said, and kept no old bodies."""
    state = _of(stage)
    for index in fault.target:
        stage.crash(index)

    def undo() -> None:
        for node in state.nodes:
            node.skip(AWAY_S)
        for node in state.nodes:
            if node.replica is not None and not node.frozen:
                for lane in Lane:
                    state.checkpoint(node.index, lane)
                _clear(state, node, RetentionConfig())
        for index in fault.target:
            if not stage.is_up(index):
                stage.start(index)

    return undo


def _clear(state: StateStage, node: StateNode, config: RetentionConfig) -> None:
    """As `mesh.node.state.upkeep` does it."""
    assert node.replica is not None
    assert node.store is not None
    node.commit()
    choice = clear_up(node.replica.log, node.store, config, state.blobs.__contains__)
    gone: dict[FeedId, int] = {}
    for held in choice.lost:
        gone[held.feed] = max(gone.get(held.feed, 0), held.end)
        state.watch.let_go.add((node.index, held.feed, held.digest))
    for feed, below in gone.items():
        node.replica.lost(feed, below)
    node.act(())
    node.commit()
    try:
        node.store.compact()
    except (EnvironmentFault, OSError):
        state.world.note("not compacted", node.index)


def _is_overdue(state: StateStage, node: StateNode, held: Held) -> bool:
    """Whether a body is still there although a checkpoint whose state is here covers it."""
    assert node.replica is not None
    cover = node.replica.log.cover(held.feed)
    covered = cover is not None and held.end <= cover.head.count
    if node.replica.log.is_opening(held.feed, held.seq):
        return False
    return covered and cover is not None and cover.state in state.blobs


LESS: Mapping[str, Begin] = {
    "checkpoint": _checkpoint,
    "prune": _prune,
    "squeeze": _squeeze,
    "away": _away,
}
