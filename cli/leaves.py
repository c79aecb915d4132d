"""A leaf in a few words, for lists and for the status."""

from __future__ import annotations

from cli.i18n import n, t
from cli.text import human_bytes, printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def via(leaf: dict[str, Any]) -> str:
    if not leaf["gateway"]:
        return t("leaf")
    return t("leaf via {node}", node=printable(leaf["gateway"]))


def describe(leaf: dict[str, Any]) -> str:
    """What is wrong first; then flash, RAM, rules and the quality of its line."""
    parts = []
    if leaf["firmware_error"]:
        parts.append(t("FAILED firmware error 0x{code:02X}", code=leaf["firmware_error"]))
    if leaf["trouble"]:
        parts.append(printable(leaf["trouble"]))
    if leaf["flash_bytes"] is not None:
        parts.append(t("flash {size}", size=human_bytes(leaf["flash_bytes"])))
        parts.append(t("RAM {size}", size=human_bytes(leaf["ram_bytes"])))
    if leaf["rules"] is not None:
        parts.append(n("{count} rule", "{count} rules", leaf["rules"]))
    if leaf["trial"]:
        parts.append(t("on trial"))
    if leaf["quality_percent"] is not None:
        parts.append(t("line {percent}%", percent=leaf["quality_percent"]))
    if leaf["missing_events"]:
        parts.append(n("{count} event missing", "{count} events missing", leaf["missing_events"]))
    return ", ".join(parts)


def row(leaf: dict[str, Any], state: str) -> list[str]:
    """A line of the status table, below the nodes."""
    rtt_ms = leaf["rtt_ms"]
    note = ", ".join(each for each in (via(leaf), describe(leaf)) if each)
    return [
        printable(leaf["name"]),
        state,
        "-",
        "-",
        "-",
        "-" if rtt_ms is None else f"{rtt_ms:.1f} ms",
        note,
    ]
