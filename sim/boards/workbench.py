"""A board that runs the production firmware, at the end of a gateway's link, in the board's time.

    bench = Workbench("stm32f405")
    bench.provision(); bench.deploy(bench.package(SOURCE, counter=1)); bench.chip.pins.level(5)

The rig of `sim.leaves` with a real part where the host's library is otherwise: everything that can
be done there can be done here. What only memory can tell (the events still kept) is not seen.
"""

from __future__ import annotations

from typing import cast

import attrs

from mesh.leaf.messages import Event
from mesh.leaf.transfer import Transfer
from mesh.rules.program import BoardKind
from sim.boards.board import Board, BoardConfig
from sim.boards.flash import Cut
from sim.leaves.board import HostBoard, ResetCause
from sim.leaves.rig import Rig


class Chip:
    """A Board with the verbs of a HostBoard that a rig uses."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self.kind = BoardKind[board.name.upper()]

    def start(self, cause: ResetCause = ResetCause.POWER) -> bool:
        machine = self.board.machine
        if machine.is_dark or cause is ResetCause.POWER:
            self.power_cycle()
        else:
            machine.reset(cause.name.lower())
        return True

    def power_cycle(self) -> None:
        """Off and on again: nothing is left but flash and what is wired to the board."""
        self.board = self.board.again()
        self.board.power_on()

    def run(self, until_ms: int) -> bool:
        machine = self.board.machine
        machine.run_until(until_ms * 1_000_000)
        return not machine.is_dark

    def feed(self, data: bytes) -> int:
        self.board.link.put(data)
        return len(data)

    def take(self) -> bytes:
        return self.board.link.take()

    def boot_nonce(self) -> bytes:
        return b""

    def events(self) -> list[tuple[int, Event]]:
        return []


class Workbench(Rig):
    """One board and its gateway."""

    def __init__(self, name: str, config: BoardConfig | None = None, seed: int = 1) -> None:
        self._name, self._config = name, config or BoardConfig(seed=seed)
        super().__init__(seed=seed, kind=BoardKind[name.upper()])

    def make_board(self, kind: BoardKind, seed: int) -> HostBoard:  # noqa: ARG002
        chip = Chip(Board(self._name, self._config))
        return cast(HostBoard, chip)  # it has those of its verbs that a rig uses

    @property
    def chip(self) -> Board:
        """The board as it is now; another one after a power cut."""
        return cast(Chip, self.board).board

    def start_deploy(self, package: bytes) -> None:
        """Begin to bring a package there, and do not wait for its end."""
        self._transfer = Transfer(self.link, package)
        self.act(self._transfer.start(self.now_s))

    def cut(self, operations: int, cut: Cut) -> None:
        """Let power fail that many flash operations from now, in the manner of `cut`."""
        flash = self.chip.machine.flash
        flash.cut = attrs.evolve(cut, operation=flash.operations + operations)

    def power_cycle(self) -> None:
        """Off and on again, with flash as it is."""
        cast(Chip, self.board).power_cycle()
