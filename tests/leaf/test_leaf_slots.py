"""Counters that are kept, and the slot that is given up for more of them: what fuzzing found."""

from __future__ import annotations

from mesh.leaf import messages
from mesh.leaf.messages import LeafError, Op
from mesh.leaf.transfer import Deployed, DeployFailed, Transfer
from sim.leaves.board import SLOT_BYTES, Count
from sim.leaves.rig import Rig

NOTES_AT, UNIT_BYTES, NOTES = 2400, 32, 53
"""In a slot: firmware/core/slots.c."""
IN_HAND = 2
COUNTER = '@every("20ms")\ndef count(n: int = 0):\n    n += 1\n    emit(1, n)\n'


def used_note(counter: int) -> bytes:
    """A unit that says that this counter was used."""
    mark = b"MARK" + counter.to_bytes(4, "little") + (counter ^ 0xFFFFFFFF).to_bytes(4, "little")
    return mark.ljust(UNIT_BYTES, b"\xff")


def with_notes(count: int) -> Rig:
    """A leaf that runs a confirmed program, beside so many notes of counters up to that."""
    rig = Rig(seed=3)
    rig.provision()
    assert isinstance(rig.deploy(rig.package(COUNTER, 1)), Deployed)
    assert rig.ask(Op.CONFIRM, [1]).error == 0
    slot = messages.decode_status(rig.ask(Op.STATUS).results).slot - 1
    flash = bytearray(rig.board.flash(slot))
    notes = b"".join(used_note(2 + i) for i in range(count))
    flash[NOTES_AT : NOTES_AT + len(notes)] = notes
    assert len(flash) == SLOT_BYTES
    rig.board.set_flash(slot, bytes(flash))
    return rig


def slot_of(rig: Rig) -> int:
    return messages.decode_status(rig.ask(Op.STATUS).results).slot


def turn_back(rig: Rig, counter: int) -> None:
    """A program is tried, and power fails before it has proved itself."""
    assert isinstance(rig.deploy(rig.package(COUNTER, counter)), Deployed)
    rig.reset_leaf()
    rig.step(1500)


def test_the_program_in_use_moves_to_a_new_list_and_runs_on_while_its_old_slot_is_erased() -> None:
    rig = with_notes(NOTES - IN_HAND)
    before = slot_of(rig)

    turn_back(rig, counter=100)
    assert slot_of(rig)  # in a session of the new start
    erased = rig.board.count(Count.FLASH_OPS) + 1
    transfer = Transfer(rig.link, rig.package(COUNTER, 101))
    rig.act(transfer.start(rig.now_s))  # begin: the other slot is erased, and nothing more comes
    rig.until(lambda: rig.board.count(Count.FLASH_OPS) >= erased)
    rig.step(500)
    delivered = len(rig.delivered)
    rig.step(200)

    assert len(rig.delivered) - delivered >= 8  # of the rule's ten
    values = [event.value for _, event in rig.delivered if event.code == 1 and event.kind == 0]
    assert values[-1] - values[-9] == 8
    assert slot_of(rig) != before
    assert rig.board.count(Count.REWRITES) == 0


def test_a_counter_that_was_tried_is_used_up_whether_its_note_found_room_or_not() -> None:
    for notes in (0, NOTES - IN_HAND - 1, NOTES - IN_HAND):
        rig = with_notes(notes)
        turn_back(rig, counter=100)
        rig.reset_leaf()
        rig.trust()
        old = rig.deploy(rig.package(COUNTER, 100))
        assert old == DeployFailed(LeafError.OLD_COUNTER), notes
        rig.reset_leaf()
        rig.trust()
        assert isinstance(rig.deploy(rig.package(COUNTER, 101)), Deployed), notes
