"""What a leaf says about the start before: why it ended, and whether that was serious."""

from __future__ import annotations

import pytest

from mesh.leaf.messages import Op, decode_status
from sim.leaves.board import ResetCause
from sim.leaves.rig import Rig


@pytest.mark.parametrize(
    ("cause", "firmware_error"),
    [
        (ResetCause.POWER, 0),
        (ResetCause.SOFTWARE, 0),
        (ResetCause.BROWNOUT, 0),
        (ResetCause.WATCHDOG, 0x24),
        (ResetCause.FAULT, 0x26),
    ],
)
def test_a_start_after_a_watchdog_or_a_fault_is_reported_as_an_error(
    cause: ResetCause, firmware_error: int
) -> None:
    rig = Rig(seed=3)
    rig.provision()
    rig.board.start(cause)
    rig.trust()
    status = decode_status(rig.ask(Op.STATUS).results)
    assert (status.reset_cause, status.firmware_error) == (cause, firmware_error)
