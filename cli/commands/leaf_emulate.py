"""`vitte leaf emulate`: a board without hardware, running the real firmware.

Starts `python -P -m sim.boards --board NAME --serial unix:PATH` and stays until that process ends.
It shares our terminal and process group, so Ctrl-C reaches it. Deliberately not here: the emulator.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import click

from cli.commands.base import Command, option
from cli.commands.leaf_lines import Port
from cli.i18n import t, user_environment
from cli.settings import Settings, note
from mesh.errors import EmulatorUnavailable

BOARDS = ("stm32f405", "stm32h7a3", "nrf52840", "rp2040")
NEEDS = ("unicorn", "elftools")
END_S = 5.0


@click.command(
    cls=Command,
    help=t(
        "Emulate a board with the leaf firmware, until Ctrl-C.\n\n"
        "Its serial line is a unix socket: give it to `vitte leaf provision` and `attach`."
    ),
)
@option("--board", type=click.Choice(BOARDS), default="stm32f405", show_default=True)
@option(
    "--serial", type=Port(), required=True, metavar="unix:PATH", help=t("Where its line will be.")
)
@option("--flash", metavar="FILE", help=t("Keeps its flash over restarts."))
@click.pass_obj
def emulate(_settings: Settings, board: str, serial: str, flash: str | None) -> int:
    if not serial.startswith("unix:"):
        raise click.UsageError(t("--serial takes unix:PATH"))
    for name in NEEDS:
        if importlib.util.find_spec(name) is None:
            raise EmulatorUnavailable(
                why=f"the Python package `{name}` is missing",
                hint="pip install 'unicorn' 'pyelftools' 'ziglang'",
            )
    argv = [sys.executable, "-P", "-m", "sim.boards", "--board", board, "--serial", serial]
    if flash is not None:
        argv += ["--flash", flash]
    note(t("{board} at {serial}; Ctrl-C ends it", board=board, serial=serial))
    process = subprocess.Popen(argv, env=user_environment())
    try:
        status = process.wait()
    except KeyboardInterrupt:  # it has heard Ctrl-C, too
        status = _ended(process)
    return 128 - status if status < 0 else status


def _ended(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
