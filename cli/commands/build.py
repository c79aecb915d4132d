"""`vitte build|test|bench --dist`: the same as `vitte dist run`; without --dist not ours."""

from __future__ import annotations

from typing import Any

import click

from cli.commands.base import Command, option
from cli.commands.dist_run import run_options
from cli.i18n import t
from cli.submit import submit


def _command(kind: str, help_text: str) -> click.Command:
    @click.command(kind, cls=Command, help=help_text)
    @click.argument("targets", nargs=-1)
    @option("--dist", is_flag=True, help=t("On the mesh. Without it, the next `vitte` is called."))
    @run_options
    @click.pass_obj
    def command(settings: Any, /, targets: tuple[str, ...], dist: bool, **wishes: Any) -> int:
        assert dist, "without --dist it is passed on before it is parsed"
        return submit(settings, kind, targets, (), **wishes)

    return command


build = _command(
    "build", t("Build on the mesh, with --dist.\n\nThe same as `vitte dist run build`.")
)
test = _command("test", t("Test on the mesh, with --dist.\n\nThe same as `vitte dist run test`."))
bench = _command(
    "bench", t("Bench on the mesh, with --dist.\n\nThe same as `vitte dist run bench`.")
)
