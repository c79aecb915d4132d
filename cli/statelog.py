"""The log's part of `vitte mesh status`: how large, how far, and what is wrong with it."""

from __future__ import annotations

from cli.i18n import n, t
from cli.text import human_bytes, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ID_DIGITS = 16


def log_lines(log: dict[str, Any]) -> list[str]:
    """The lines for the `log` of a `vitte.status/1`."""
    lines = [_size(log)]
    if log["lost_events"]:
        lost = n("{count} event is lost", "{count} events are lost", log["lost_events"])
        lines.append("# " + lost + "; " + t("`vitte audit lost` lists them"))
    if log["damaged"]:
        damaged = t("{count} places of the log were damaged on the disk", count=log["damaged"])
        lines.append(f"# {damaged}")
    if log["trouble"]:
        lines.append("# " + t("the log cannot be written: {why}", why=printable(log["trouble"])))
    if log["unwritten_bytes"]:
        size = human_bytes(log["unwritten_bytes"])
        lines.append("# " + t("{size} of it wait in memory for the disk", size=size))
    if log["is_full"]:
        lines.append("# " + t("it is full: what others write is taken when the disk takes it"))
    if log["unlogged_events"]:
        words = n(
            "{count} event of this node was not logged",
            "{count} events of this node were not logged",
            log["unlogged_events"],
        )
        lines.append(f"# {words}")
    for fork in log["forks"]:
        said = t("{node} has signed two histories of {feed}", **_printable(fork))
        lines.append(f"# {said}")
    lines += ["# " + _divergence(each) for each in log["divergences"]]
    if log["withdrawn"]:
        counts = {"results": log["withdrawn"], "actions": log["tainted"]}
        words = t("{results} results are withdrawn, {actions} made from them", **counts)
        lines.append(f"# {words}; " + t("`vitte cache taint` lists them"))
    for each in log["refused"]:
        fields = _printable(each) | {"node": printable(each["node"]) or t("strangers")}
        words = t("refused from {node}: {reason}, {count} times", **fields)
        lines.append(f"# {words}")
    return lines


def _size(log: dict[str, Any]) -> str:
    behind = log["behind_events"]
    state = (
        n("behind by {count} event", "behind by {count} events", behind)
        if behind
        else t("up to date")
    )
    return t(
        "log: {feeds} feeds, {frames} frames, {events} events, {size}; {state}",
        feeds=log["feeds"],
        frames=log["frames"],
        events=log["events"],
        size=human_bytes(log["size_bytes"]),
        state=state,
    )


def _divergence(each: dict[str, Any]) -> str:
    sides = [
        f"{side['outputs'][:ID_DIGITS]} ({', '.join(map(printable, side['builders']))})"
        for side in each["sides"]
    ]
    words = {"action": each["action"][:ID_DIGITS], "sides": " / ".join(sides)}
    return t("ALARM: action {action} has different outputs: {sides}", **words)


def _printable(view: dict[str, Any]) -> dict[str, Any]:
    return {k: printable(v) if isinstance(v, str) else v for k, v in view.items()}
