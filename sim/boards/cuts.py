"""Power that fails during a flash operation: where it can, what a leaf does after it.

One run on a board notes every flash operation of a deploy, of confirming it, of going back (the
old rules, signed again with a higher counter) and of confirming that; and of two starts after a
trial that ended in vain, when the leaf keeps the used counter, with room for it and without. A leaf
is a function of its flash, so a cut during operation k is the flash before it with what that
operation left behind; each such flash is started, and asked. A good leaf still knows its key, has
forgotten no counter, and runs the program of before or the one of after; anything else is a brick.
For a double cut, the leaf tries again after the first one, and power fails during that as well.
Different cuts often leave the same flash (all before an erasure do): it is started once.

Deliberately not here: what a cut does to the bits (`flash`), which are tried (`powercut`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import attrs

from mesh.leaf.messages import Op
from mesh.leaf.transfer import Deployed
from sim.boards.board import Board, BoardConfig
from sim.boards.flash import Operation, Tear
from sim.boards.machine import BoardFault
from sim.boards.prober import Prober
from sim.boards.workbench import Workbench

COUNTER_AT, VALID_AT, PACKAGE_AT, NOTES_AT = 12, 128, 224, 2400
UNIT_BYTES, NOTES, SLOT_BYTES = 32, 53, 4096
"""In a slot: firmware/core/slots.h."""
NOTES_IN_HAND = 2

OLD_RULES = '@every("1s")\ndef old(n: int = 0):\n    n += 1\n    emit(1, n)\n'
NEW_RULES = '@every("1s")\ndef new(n: int = 0):\n    n += 2\n    emit(2, n)\n'

Found = tuple[bytes, frozenset[int], tuple[int, int], int]


@attrs.frozen
class Phase:
    """A part of the journey, and the programs (by counter) that a leaf may run when it is cut."""

    name: str
    allowed: tuple[int, int]
    flash: bytes
    """Before its first operation."""
    operations: tuple[Operation, ...]
    unreadable: frozenset[int] = frozenset()
    """Words that a cut before it has torn."""
    used: int = 0
    """The highest counter that was ever accepted."""


@attrs.frozen
class Known:
    """What is true of one board's leaf, whatever happens."""

    board: str
    base: int
    """Address of flash."""
    key: bytes
    packages: Mapping[int, bytes]
    """By counter."""
    ecc_bytes: int | None
    """Size of flash words that cannot be read when they are torn."""


@attrs.frozen
class Journey:
    """What one board did."""

    known: Known
    phases: tuple[Phase, ...]


@attrs.frozen
class Case:
    """A flash to be started."""

    phase: str
    operation: int
    tear: Tear
    allowed: tuple[int, int]
    flash: bytes
    unreadable: frozenset[int]
    used: int
    seed: int

    @property
    def found(self) -> Found:
        """What the leaf finds, and what it may do then: cases with the same one are one."""
        return self.flash, self.unreadable, self.allowed, self.used


@attrs.frozen
class Verdict:
    """What a leaf did with the flash that it found."""

    counter: int
    """Of the program it runs; 0: none, or it does not answer."""
    key: bytes
    why: str
    used: int = 0
    """The highest counter that its flash tells."""


class Recorder:
    """A bench whose flash operations are noted, phase by phase."""

    def __init__(self, bench: Workbench) -> None:
        self.bench = bench
        self.phases: list[Phase] = []

    def deploy(self, name: str, allowed: tuple[int, int], package: bytes) -> None:
        self._begin()
        outcome = self.bench.deploy(package)
        assert isinstance(outcome, Deployed), outcome
        self._end(name, allowed, used=allowed[0])

    def confirm(self, name: str, allowed: tuple[int, int]) -> None:
        self._begin()
        answer = self.bench.ask(Op.CONFIRM, [allowed[1]])
        assert answer.error == 0, answer
        self._end(name, allowed, used=allowed[1])

    def _begin(self) -> None:
        self._flash = self.bench.chip.flash_image()
        self.bench.chip.machine.flash.journal = []

    def _end(self, name: str, allowed: tuple[int, int], used: int) -> None:
        memory = self.bench.chip.machine.flash
        assert memory.journal is not None
        journal = tuple(memory.journal)
        self.phases.append(Phase(name, allowed, self._flash, journal, used=used))
        memory.journal = None


def journey(board: str) -> Journey:
    """Let a board make the journey once."""
    bench = Workbench(board, BoardConfig(seed=11))
    key = bench.provision()
    packages = {
        counter: bench.package(rules, counter)
        for counter, rules in ((1, OLD_RULES), (2, NEW_RULES), (3, OLD_RULES))
    }
    recorder = Recorder(bench)
    recorder.deploy("first", (0, 1), packages[1])
    recorder.confirm("first", (1, 1))
    recorder.phases.clear()
    recorder.deploy("deploy", (1, 2), packages[2])
    on_trial = bench.chip.flash_image()
    recorder.confirm("confirm", (1, 2))
    recorder.deploy("rollback", (2, 3), packages[3])
    recorder.confirm("confirm rollback", (2, 3))
    mistakes = bench.chip.machine.flash.mistakes
    assert not mistakes, mistakes
    memory = bench.chip.machine.flash
    known = Known(board, memory.base, key, packages, memory.ecc_bytes)
    starts = (
        starting(known, "back from a trial", on_trial),
        starting(known, "back, without room", without_room(bench.chip, packages[1], on_trial)),
    )
    return Journey(known, (*recorder.phases, *starts))


def without_room(board: Board, package: bytes, flash: bytes) -> bytes:
    """That flash after so many trials in vain that the next one's counter is the last noted."""
    base, filled = board.machine.flash.base, bytearray(flash)
    (slot,) = (
        each - base
        for each in board.wiring.slots
        if flash[each - base + PACKAGE_AT :].startswith(package)
    )
    note = b"MARK" + (1).to_bytes(4, "little") + (0xFFFFFFFE).to_bytes(4, "little")
    notes = note.ljust(UNIT_BYTES, b"\xff") * (NOTES - NOTES_IN_HAND)
    filled[slot + NOTES_AT : slot + NOTES_AT + len(notes)] = notes
    return bytes(filled)


def starting(known: Known, name: str, flash: bytes) -> Phase:
    """What a leaf writes when it starts with that and goes back from program 2 to 1."""
    board = Board(known.board, BoardConfig(seed=5, flash=flash))
    journal: list[Operation] = []
    board.machine.flash.journal = journal
    verdict = start(board, known.packages)
    assert (verdict.counter, verdict.used) == (1, 2), verdict
    assert not board.machine.flash.mistakes
    return Phase(name, (1, 1), flash, tuple(journal), used=2)


def cases_of(known: Known, phase: Phase, chosen: Sequence[int]) -> Iterator[Case]:
    """Every tear of the chosen operations of a phase."""
    flash, torn_before = bytearray(phase.flash), set(phase.unreadable)
    for index, operation in enumerate(phase.operations):
        begin = operation.at - known.base
        end = begin + len(operation.before)
        assert flash[begin:end] == operation.before
        if index in chosen:
            for tear in Tear:
                seed = 3 * index + 1
                torn = bytes(flash[:begin]) + operation.torn(tear, seed) + bytes(flash[end:])
                words = frozenset(torn_before)
                if known.ecc_bytes:
                    words |= operation.unreadable(tear, known.ecc_bytes)
                allowed, used = phase.allowed, phase.used
                yield Case(phase.name, index, tear, allowed, torn, words, used, seed)
        flash[begin:end] = operation.after
        torn_before.difference_update(range(operation.at, operation.at + len(operation.before)))


def unique(cases: Iterable[Case]) -> list[Case]:
    """The first of each that are the same for a leaf."""
    kept: dict[Found, Case] = {}
    for case in cases:
        kept.setdefault(case.found, case)
    return list(kept.values())


def chosen_of(count: int, most: int | None) -> list[int]:
    """The first, the last ones (marks are written last) and some in between; all without `most`."""
    if most is None or count <= most:
        return list(range(count))
    spread = {(count - 1) * i // (most - 1) for i in range(most)}
    return sorted(spread)


# -- what a leaf does ----------------------------------------------------------------------------
def start(board: Board, packages: Mapping[int, bytes]) -> Verdict:
    """Switch a board on and see what it runs."""
    board.power_on()
    prober = Prober(board)
    try:
        status = prober.status()
    except BoardFault as fault:
        return Verdict(0, b"", f"fault: {fault}")
    if status is None or prober.hello is None:
        return Verdict(0, b"", "it does not answer")
    slot, key = status.slot, prober.hello.key
    if slot == 0:
        return Verdict(0, key, "it runs nothing", used_counter(board))
    at = board.wiring.slots[slot - 1] + PACKAGE_AT
    for counter, package in packages.items():
        if board.machine.memory(at, len(package)) == package:
            return Verdict(counter, key, "", used_counter(board))
    return Verdict(0, key, "it runs something else")


def used_counter(board: Board) -> int:
    """The highest counter in its slots, of programs and of notes; 0: none."""
    highest = 0
    for slot in (board.machine.memory(at, SLOT_BYTES) for at in board.wiring.slots):
        if not slot[VALID_AT:].startswith(b"MARK"):
            continue
        notes = (slot[NOTES_AT + UNIT_BYTES * i :] for i in range(NOTES))
        told = [slot[COUNTER_AT:], *(each[4:] for each in notes if each.startswith(b"MARK"))]
        highest = max([highest, *(int.from_bytes(each[:4], "little") for each in told)])
    return highest


def _config(case: Case) -> BoardConfig:
    return BoardConfig(seed=case.seed, flash=case.flash, unreadable=case.unreadable)


def judge(known: Known, case: Case) -> tuple[str, str]:
    """(old | new | BRICK, why)"""
    board = Board(known.board, _config(case))
    verdict = start(board, known.packages)
    if board.machine.flash.mistakes:
        return "BRICK", f"flash rules broken: {dict(board.machine.flash.mistakes)}"
    if verdict.key != known.key:
        return "BRICK", verdict.why or "it has lost its key"
    if verdict.counter not in case.allowed:
        return "BRICK", verdict.why or f"it runs program {verdict.counter}"
    if verdict.used < case.used:
        return "BRICK", f"it has forgotten counter {case.used}"
    return ("old", "new")[case.allowed.index(verdict.counter)], ""


# -- double cuts --------------------------------------------------------------------------------
def second_cuts(known: Known, count: int | None, case: Case) -> list[Case]:
    """Start after a first cut of a deploy, deploy again unless the new program is there, and cut
    what that takes everywhere in every way; with `count`, in so many places."""
    bench = Workbench(known.board, _config(case))
    bench.admitted.add(known.key)
    journal: list[Operation] = []
    bench.chip.machine.flash.journal = journal
    bench.trust()
    new = case.allowed[1]
    if not _is_there(bench.chip, known.packages[new]):
        bench.deploy(known.packages[new])
    name = f"{case.phase} again, after operation {case.operation}, {case.tear.value}"
    phase = Phase(name, case.allowed, case.flash, tuple(journal), case.unreadable, case.used)
    return unique(cases_of(known, phase, chosen_of(len(journal), count)))


def _is_there(board: Board, package: bytes) -> bool:
    at = (slot + PACKAGE_AT for slot in board.wiring.slots)
    return any(board.machine.memory(each, len(package)) == package for each in at)
