"""How long a gateway waits for what a board has to work for."""

from __future__ import annotations

import pytest

from mesh.leaf.messages import Op
from mesh.leaf.patience import UNKNOWN, WORK, longest_s, work_s
from mesh.rules.program import BoardKind
from sim.leaves.line import Noise
from sim.leaves.rig import Rig

MEASURED_S = {
    BoardKind.STM32F405: {Op.PROVISION: 0.446, Op.PROVE: 0.310, Op.BEGIN: 0.259, Op.COMMIT: 0.304},
    BoardKind.STM32H7A3: {Op.PROVISION: 0.150, Op.PROVE: 0.233, Op.BEGIN: 0.012, Op.COMMIT: 0.227},
    BoardKind.NRF52840: {Op.PROVISION: 0.286, Op.PROVE: 0.311, Op.BEGIN: 0.094, Op.COMMIT: 0.305},
    BoardKind.RP2040: {Op.PROVISION: 0.504, Op.PROVE: 0.573, Op.BEGIN: 0.059, Op.COMMIT: 0.721},
}
"""What the emulated boards take for an answer, the line included."""
LINE_LEAST_S = 0.04


@pytest.mark.parametrize("board", sorted(MEASURED_S))
def test_the_first_wait_is_longer_than_the_work(board: BoardKind) -> None:
    for op, taken_s in MEASURED_S[board].items():
        assert taken_s < work_s(op, board, tries=0) + LINE_LEAST_S <= 3 * taken_s + 0.5


def test_every_microcontroller_is_known_and_another_is_waited_for_the_longest() -> None:
    assert set(WORK) == {each for each in BoardKind if each is not BoardKind.LINUX}
    assert longest_s(Op.PROVISION, 99) == UNKNOWN.erase_s + UNKNOWN.signature_s
    assert all(longest_s(Op.PROVISION, each) <= longest_s(Op.PROVISION, 99) for each in WORK)


def test_what_is_only_looked_up_is_not_waited_for() -> None:
    assert longest_s(Op.STATUS, BoardKind.RP2040) == 0.0
    assert longest_s(Op.CONFIRM, BoardKind.RP2040) == 0.0


def test_a_leaf_is_provisioned_over_a_bad_line_in_seconds() -> None:
    taken_ms = []
    for seed in range(1, 6):
        rig = Rig(seed, Noise(bit_flips=1e-3))
        rig.provision()
        taken_ms.append(rig.now_ms)
    assert sorted(taken_ms)[2] < 4000, taken_ms
