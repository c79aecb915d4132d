"""How long the answer to a request may take, by what the board at the other end has to do for it.

A leaf says in its hello what board it is. Erasing a sector of flash and working with a signature
are the only things that take it long; the times are those of its data sheet and of its firmware.
Rule: the first wait is that long, so that a good line carries every request once. After that the
leaf has either done the work and its answer was lost, which it has kept and says again at once, or
it has not heard of it; so what follows is said sooner, and sooner than the work takes: a repetition
that comes while the leaf works is answered after it, or is not heard.

Deliberately not here: how waits grow, and how often anything is repeated (`link`).
"""

from __future__ import annotations

import attrs

from mesh.leaf.messages import Op

AGAIN_PART = 3
"""A repetition waits for that part of the first wait."""


@attrs.frozen
class Work:
    """What takes a board long, in seconds."""

    erase_s: float
    """A slot of flash."""
    signature_s: float
    """Made or checked, with what hangs on it."""


WORK = {
    1: Work(erase_s=0.5, signature_s=0.4),  # STM32F405, which stands still while it erases
    2: Work(erase_s=0.01, signature_s=0.3),  # STM32H7A3
    3: Work(erase_s=0.1, signature_s=0.4),  # nRF52840
    4: Work(erase_s=0.2, signature_s=0.9),  # RP2040
}
"""By `board` of program.cddl; the tests hold them against what emulated boards take."""
UNKNOWN = Work(
    erase_s=max(each.erase_s for each in WORK.values()),
    signature_s=max(each.signature_s for each in WORK.values()),
)


def longest_s(op: Op, board: int) -> float:
    """How long that board works for an answer; 0 for what it only looks up."""
    work = WORK.get(board, UNKNOWN)
    if op is Op.BEGIN:
        return work.erase_s
    if op in (Op.PROVE, Op.COMMIT):
        return work.signature_s
    return work.erase_s + work.signature_s if op is Op.PROVISION else 0.0


def work_s(op: Op, board: int, tries: int) -> float:
    """How much of the wait for an answer is for that work, when `tries` were made before."""
    return longest_s(op, board) / (1 if tries == 0 else AGAIN_PART)
