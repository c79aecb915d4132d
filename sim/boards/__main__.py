"""`python -m sim.boards --board stm32f405 --serial unix:PATH`: an emulated board to play with."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from sim.boards.board import MAKERS
from sim.boards.image import NoFirmware
from sim.boards.machine import BoardFault
from sim.boards.serve import BadEndpoint, ServeConfig, Server


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sim.boards",
        description="A microcontroller board in software that runs the production firmware.",
        epilog="Commands on standard input: adc N COUNTS, gpio PIN 0|1|-, uart TEXT, power, reset, "
        "show, cut OPERATIONS.",
    )
    parser.add_argument("--board", choices=sorted(MAKERS), default="stm32f405")
    parser.add_argument("--serial", required=True, help="unix:PATH, tcp:127.0.0.1:PORT or pty:PATH")
    parser.add_argument("--flash", type=Path, help="keep the board's flash in this file")
    parser.add_argument("--seed", type=int, default=0, help="of its random numbers")
    return parser


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - standard output is this program's answer


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until interrupted; exit status 1 with a sentence when that cannot be."""
    options = _parser().parse_args(argv)
    stopped: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        stopped.append(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    config = ServeConfig(options.board, options.serial, options.flash, options.seed)
    try:
        with Server(config, sys.stdin, _say) as server:
            _say(f"{options.board} on {options.serial}")
            server.run(lambda: bool(stopped))
    except (NoFirmware, BadEndpoint, BoardFault, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - for a person
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
