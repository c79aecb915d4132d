"""The short ways: command lines so common that they do not load click, which takes longer than all
else that the command line does.

    dist status | mesh status            [--json] [--home DIR]
    dist run build|test|bench            the same, and [--progress auto|plain|none]
    build|test|bench --dist              the same

Exactly these, and each calls the very function that the command calls; everything else, `--help`
and mistakes included, goes through click (`cli.app`). What is asked of the environment by click
alone (completion, VITTE_PROGRESS) has no short way either.
"""

from __future__ import annotations

from cli.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

STATUS = (["dist", "status"], ["mesh", "status"])
RUNS: dict[tuple[str, ...], str] = {
    way: kind
    for kind in ("build", "test", "bench")
    for way in (("dist", "run", kind), (kind, "--dist"))
}
PROGRESS = ("auto", "plain", "none")
ASKED_BY_CLICK = ("_VITTE_COMPLETE", "VITTE_PROGRESS")


class Short:
    """What such a command line says."""

    def __init__(self) -> None:
        self.settings = Settings()
        self.progress: str | None = None
        self.words: list[str] = []

    def command(self) -> Callable[[Settings], int] | None:
        """What it calls; None when it is not one of them."""
        if self.words in STATUS and self.progress is None:
            return _status
        kind = RUNS.get(tuple(self.words))
        if kind is None or self.progress not in (None, *PROGRESS):
            return None
        return lambda settings: _run(settings, kind, self.progress or "auto")


def short_way(args: Sequence[str], env: Mapping[str, str]) -> Short | None:
    """The command line, when all of its words may belong to one of the above."""
    said, rest = Short(), iter(args)
    for word in rest:
        if word == "--json":
            said.settings.json = True
        elif word == "--home":
            said.settings.home = next(rest, None)
            if said.settings.home is None:
                return None
        elif word == "--progress":
            said.progress = next(rest, "")
        else:
            said.words.append(word)
    return None if any(name in env for name in ASKED_BY_CLICK) else said


def _status(settings: Settings) -> int:
    from cli.status import show

    return show(settings)


def _run(settings: Settings, kind: str, progress: str) -> int:
    from cli.submit import DEFAULTS, submit

    return submit(settings, kind, (), (), progress=progress, **DEFAULTS)
