"""The live block of `run` on a terminal: the last lines only, never the alternate screen.

    build: 12/24 done, 4 cached  [###########---------]  3.2 s
      running   lyon-2   compile gzread.c   1.2 s
      stolen    pi-4     compile inflate.c
      ...and 6 more

What tools write appears above it and stays in the scrollback; when the run ends the block is gone
and the summary takes its place. The total is known before the first line is drawn, because the
plan is closed. This is the only file that loads rich.
"""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from cli.i18n import n, t
from cli.progress import output_text
from cli.settings import Settings
from cli.text import cut, human_seconds, printable
from mesh.control.phases import FINAL_PHASES

ROWS_MAX = 8
BAR_CELLS = 24
REFRESH_S = 0.1
ORDER = {"running": 0, "fetching": 1, "sending": 2, "stolen": 3, "hashing": 4}
"""Active phases, most telling first. What is merely queued is only counted."""


class LiveSink:
    """Draws the run's state at most every REFRESH_S."""

    def __init__(self, settings: Settings) -> None:
        self._console = Console(
            stderr=True, no_color=not settings.colored(), highlight=False, soft_wrap=False
        )
        self._live = Live(console=self._console, auto_refresh=False, transient=True, screen=False)
        self._title = ""
        self._total = 0
        self._ended: dict[int, str] = {}
        self._active: dict[int, tuple[list[Any], float]] = {}
        self._begin_s = self._drawn_s = time.monotonic()
        self._live.start()

    def event(self, event: dict[str, Any]) -> None:
        match event["event"]:
            case "plan":
                self._title = event["kind"]
                self._total = event["shards"]
            case "shards":
                for item in event["items"]:
                    self._shard(item)
            case "output":
                self._console.print(Text.from_ansi(output_text(event)))
        self.tick()

    def tick(self) -> None:
        now_s = time.monotonic()
        if now_s - self._drawn_s >= REFRESH_S:
            self._drawn_s = now_s
            self._live.update(Text("\n".join(self.lines(now_s))), refresh=True)

    def close(self) -> None:
        self._live.stop()

    def _shard(self, item: list[Any]) -> None:
        index, phase = item[0], item[1]
        if phase in FINAL_PHASES:
            self._active.pop(index, None)
            self._ended[index] = item[3] if phase == "done" else phase
        elif phase in ORDER:
            before = self._active.get(index)
            since_s = before[1] if before and before[0][1] == phase else time.monotonic()
            self._active[index] = (item, since_s)
        else:
            self._active.pop(index, None)

    def lines(self, now_s: float) -> list[str]:
        """What the block shows now."""
        columns = self._console.width - 1
        rows = sorted(self._active.values(), key=lambda row: (ORDER[row[0][1]], row[1]))
        shown = [cut(_row(item, now_s - since_s), columns) for item, since_s in rows[:ROWS_MAX]]
        if len(rows) > ROWS_MAX:
            shown.append("  " + t("...and {count} more", count=len(rows) - ROWS_MAX))
        return [cut(self._headline(now_s), columns), *shown]

    def _headline(self, now_s: float) -> str:
        if not self._total:
            return t("planning...  {time}", time=human_seconds(now_s - self._begin_s))
        ended = list(self._ended.values())
        filled = BAR_CELLS * len(ended) // self._total
        parts = [
            t("{kind}: {done}/{total} done", kind=self._title, done=len(ended), total=self._total)
        ]
        for word, text in (("cached", t("cached")), ("failed", t("failed"))):
            if word in ended:
                parts.append(f"{ended.count(word)} {text}")
        queued = self._total - len(ended) - len(self._active)
        if queued:
            parts.append(n("{count} queued", "{count} queued", queued))
        bar = f"[{'#' * filled}{'-' * (BAR_CELLS - filled)}]"
        return f"{', '.join(parts)}  {bar}  {human_seconds(now_s - self._begin_s)}"


def _row(item: list[Any], seconds: float) -> str:
    _, phase, where, detail, name, _ = item
    node = printable(where)
    words = {
        "running": t("running"),
        "fetching": t("fetching"),
        "sending": t("sending"),
        "stolen": t("stolen by"),
        "hashing": t("hashing"),
    }
    size = f" {detail}" if detail and phase in ("sending", "fetching") else ""
    return f"  {words[phase] + size:<16}  {node:<12}  {printable(name)}  {human_seconds(seconds)}"
