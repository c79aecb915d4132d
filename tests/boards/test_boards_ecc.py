"""A flash word that lost power while it was written cannot be read on a part with ECC: a leaf
starts all the same, and what the model does about it is not nothing."""

from __future__ import annotations

import pytest
from leaves_once import once_deployed

from sim.boards.board import Board, BoardConfig
from sim.boards.cuts import Case, Journey, cases_of, judge, second_cuts
from sim.boards.flash import Operation, Tear
from sim.boards.machine import BoardFault

pytestmark = pytest.mark.timeout(300)
BOARD, WORD_BYTES = "stm32h7a3", 16
CONFIRMED_REST = 192 + WORD_BYTES
"""In a slot: the empty second half of a mark's unit."""


@pytest.fixture(scope="module")
def done() -> Journey:
    return once_deployed(BOARD).journey


def torn_cases(done: Journey, phase_name: str, operation: int) -> list[Case]:
    """Those of one operation (from the end, if negative) that leave unreadable words."""
    (phase,) = (each for each in done.phases if each.name == phase_name)
    chosen = [operation % len(phase.operations)]
    return [each for each in cases_of(done.known, phase, chosen) if each.unreadable]


@pytest.mark.parametrize(
    ("phase", "operation"),
    [("deploy", 0), ("deploy", -2), ("deploy", -4), ("confirm", 0)],
    ids=["erase", "trial begun", "valid", "confirmed"],
)
def test_a_leaf_starts_beside_words_that_cannot_be_read(
    done: Journey, phase: str, operation: int
) -> None:
    cases = torn_cases(done, phase, operation)
    assert cases
    outcome, why = judge(done.known, cases[0])
    assert outcome == "old", why


def test_a_leaf_that_starts_beside_a_torn_sector_can_be_deployed_to(done: Journey) -> None:
    case = torn_cases(done, "deploy", 0)[0]
    assert len(case.unreadable) > 100
    again = second_cuts(done.known, None, case)
    assert len(again) > 20  # it has come to its end
    erased_since = [each for each in again if each.operation == 1]
    assert erased_since
    assert not any(each.unreadable - case.unreadable for each in again if each.operation == 0)
    assert all(len(each.unreadable) <= 1 for each in erased_since)


def test_reading_such_a_word_where_it_is_not_expected_is_a_fault(done: Journey) -> None:
    before = next(each for each in done.phases if each.name == "confirm").flash
    nobody_reads = frozenset([done.known.base + 0x8000 + CONFIRMED_REST])
    board = Board(BOARD, BoardConfig(seed=1, flash=before, unreadable=nobody_reads))
    board.power_on()
    board.run_ms(4000)  # it has checked its program, and runs it from flash
    slots = range(board.wiring.slots[0], board.wiring.slots[1] + 0x2000, WORD_BYTES)
    board.machine.flash.unreadable.update(slots)
    with pytest.raises(BoardFault, match="a bus fault"):
        board.run_ms(3000)


def test_a_cut_leaves_unreadable_what_it_was_at() -> None:
    erase = Operation(0x100, b"\0" * 64, b"\xff" * 64)
    write = Operation(0x100, b"\xff" * 16, b"\0" * 16)
    assert erase.unreadable(Tear.TORN, WORD_BYTES) == {0x100, 0x110, 0x120, 0x130}
    assert erase.unreadable(Tear.HALF, WORD_BYTES) == {0x120}
    assert write.unreadable(Tear.HALF, WORD_BYTES) == write.unreadable(Tear.TORN, WORD_BYTES)
    assert write.unreadable(Tear.TORN, WORD_BYTES) == {0x100}
    assert not write.unreadable(Tear.CLEAN, WORD_BYTES)
