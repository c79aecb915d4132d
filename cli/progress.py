"""Showing a run line by line: for pipes, CI and logs, and the parts that the live block shares.

Rules: at most one line per shard, when it has ended; progress and what compilers say go to stderr;
only the output of `run -- CMD` goes to stdout, byte for byte. What failed shards wrote is not shown
here: it comes last, with the summary.
"""

from __future__ import annotations

import sys
from typing import Any, BinaryIO

from cli.i18n import n, t
from cli.settings import note
from cli.text import human_seconds, print_json, printable
from mesh.control.phases import FINAL_PHASES

ENCODING = ("utf-8", "surrogateescape")


class JsonSink:
    """Every event as one JSON line on stdout."""

    def event(self, event: dict[str, Any]) -> None:
        print_json(event)

    def tick(self) -> None:
        pass

    def close(self) -> None:
        pass


class OutputSink:
    """`--progress none`: nothing but what the tools wrote, and warnings about ourselves."""

    def event(self, event: dict[str, Any]) -> None:
        if event["event"] == "output":
            self.output(event)
        elif event["event"] == "resync":
            note(t("(too slow to show everything: {count} events skipped)", count=event["lost"]))

    def output(self, event: dict[str, Any]) -> None:
        """Whole output of one shard that succeeded: compiler warnings, mostly."""
        note(output_text(event))

    def tick(self) -> None:
        pass

    def close(self) -> None:
        pass


class PlainSink(OutputSink):
    """One line for the plan and one for each shard that has ended."""

    def __init__(self) -> None:
        self._total = 0
        self._ended: set[int] = set()

    def event(self, event: dict[str, Any]) -> None:
        match event["event"]:
            case "plan":
                self._total = event["shards"]
                note(plan_text(event))
            case "shards":
                for item in event["items"]:
                    self._shard(item)
            case _:
                super().event(event)

    def _shard(self, item: list[Any]) -> None:
        index, phase = item[0], item[1]
        if phase not in FINAL_PHASES or index in self._ended:
            return
        self._ended.add(index)
        if phase == "skipped":
            return  # the summary counts them; hundreds of lines would hide why
        note(f"[{len(self._ended)}/{max(self._total, len(self._ended))}] {shard_text(item)}")


class CommandSink(OutputSink):
    """`run -- CMD`: its stdout to ours and its stderr to ours, as they come."""

    def __init__(self, *, show_progress: bool) -> None:
        self._plain = PlainSink() if show_progress else None

    def event(self, event: dict[str, Any]) -> None:
        if event["event"] == "output":
            self.output(event)
        elif self._plain is not None:
            self._plain.event(event)

    def output(self, event: dict[str, Any]) -> None:
        target: BinaryIO = sys.stdout.buffer if event["stream"] == 1 else sys.stderr.buffer
        target.write(event["text"].encode(*ENCODING))
        target.flush()


def plan_text(event: dict[str, Any]) -> str:
    return n(
        "{explanation}: {count} shard",
        "{explanation}: {count} shards",
        event["shards"],
        explanation=printable(event["explanation"]).rstrip("."),
    )


def shard_text(item: list[Any]) -> str:
    """`compile a.c  remote on lyon-2  0.42 s`"""
    _, phase, where, detail, name, seconds = item
    parts = [printable(name), outcome_text(phase, detail, where)]
    if seconds and detail != "cached":
        parts.append(human_seconds(seconds))
    return "  ".join(parts)


def outcome_text(phase: str, detail: str, where: str) -> str:
    """How a shard ended."""
    node = printable(where)
    if phase == "failed":
        return t("FAILED on {node}", node=node) if node else t("FAILED")
    if phase == "skipped":
        return t("skipped")
    words = {
        "cached": t("cached"),
        "remote": t("remote on {node}", node=node),
        "local": t("local"),
    }
    return words.get(detail, t("done"))


def output_text(event: dict[str, Any]) -> str:
    """A shard's output under its name, safe for a terminal."""
    text = event["text"].encode(*ENCODING).decode("utf-8", "replace").rstrip("\n")
    header = f"{printable(event['name'])} ({printable(event['node'])}):"
    return "\n".join([header, *(safe_line(line) for line in text.split("\n"))])


def safe_line(line: str) -> str:
    """A line of a tool's output: its colours stay, everything else that steers a terminal goes."""
    import re

    parts = re.split("(\033\\[[0-9;]*m)", line)
    return "".join(part if at % 2 else printable(part) for at, part in enumerate(parts))
