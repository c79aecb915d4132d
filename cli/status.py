"""`vitte dist status`: the nodes, the runs under way, and what is wrong."""

from __future__ import annotations

from cli.client import ask
from cli.homes import home_to_ask
from cli.i18n import n, said, t
from cli.leaves import row
from cli.shell import out
from cli.statelog import log_lines
from cli.text import human_bytes, human_seconds, print_json, printable, table, width

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from cli.settings import Settings


DAY_S = 86_400.0


def show(settings: Settings) -> int:
    """Ask for the status and print it."""
    view = ask(home_to_ask(settings), "status")
    if settings.json:
        print_json(view)
        return 0
    for line in render(view, width()):
        out(line)
    return 0


def render(view: dict[str, Any], columns: int) -> list[str]:
    """The lines for a `vitte.status/1`."""
    if view["mesh"] is None:
        return [
            t("node {name} runs, but is in no mesh yet", name=view["self"]),
            t("create one with `vitte mesh init` or join one with `vitte mesh join`"),
            *_health(view),
        ]
    nodes = sorted(view["nodes"], key=lambda node: (not node["self"], node["name"]))
    leaves = [row(leaf, state_word(leaf["state"])) for leaf in view.get("leaves", ())]
    rows = [*(_row(node) for node in nodes), *leaves]
    lines = [_headline(view), *table(_header(), rows, columns)]
    if view["runs"]:
        lines.append("")
        lines += [_run(run) for run in view["runs"]]
    log = view.get("log")
    if log is not None:
        lines += ["", *log_lines(log)]
    return lines + _health(view)


def _headline(view: dict[str, Any]) -> str:
    count, leaves = len(view["nodes"]), len(view.get("leaves", ()))
    nodes = n("{count} node", "{count} nodes", count)
    if leaves:
        nodes += ", " + n("{count} leaf", "{count} leaves", leaves)
    return t(
        "mesh {name} ({id}), {nodes}, sandbox: {sandbox}",
        name=printable(view["mesh"]["name"]),
        id=view["mesh"]["id"][:8],
        nodes=nodes,
        sandbox=view["sandbox"],
    )


def _header() -> list[str]:
    return [t("NODE"), t("STATE"), t("CPU"), t("JOBS"), t("CACHE"), t("RTT"), t("NOTE")]


def _row(node: dict[str, Any]) -> list[str]:
    up = node["state"] in ("alive", "suspect")
    rtt_ms = node["rtt_ms"]
    return [
        printable(node["name"]) + (" " + t("(self)") if node["self"] else ""),
        state_word(node["state"]),
        f"{node['cpu_percent']}%" if up else "-",
        f"{node['busy']}/{node['slots']}" if up else "-",
        human_bytes(node["cache_bytes"]) if up else "-",
        "-" if rtt_ms is None else f"{rtt_ms:.1f} ms",
        _note(node),
    ]


def _note(node: dict[str, Any]) -> str:
    parts = [node["role"]] if node["role"] not in ("admin", "builder") else []
    if node["queued"]:
        parts.append(n("{count} shard queued", "{count} shards queued", node["queued"]))
    if node["note"]:
        parts.append(printable(said(node["note"])))
    if node.get("offline_since_unix_s") is not None:
        parts.append(_offline(node))
    return "; ".join(parts)


def _offline(node: dict[str, Any]) -> str:
    import time

    since_unix_s = node["offline_since_unix_s"]
    day = "" if time.time() - since_unix_s < DAY_S else "%Y-%m-%d "
    since = time.strftime(day + "%H:%M:%S", time.localtime(since_unix_s))
    return n(
        "OFFLINE since {since}, {count} event waiting",
        "OFFLINE since {since}, {count} events waiting",
        node["waiting_events"],
        since=since,
    )


def _run(run: dict[str, Any]) -> str:
    return t(
        "run {run}: {kind} {root}, {done}/{shards} shards after {time}",
        run=run["run"],
        kind=run["kind"],
        root=printable(run["root"]),
        done=run["done"],
        shards=run["shards"],
        time=human_seconds(run["seconds"]),
    )


def _health(view: dict[str, Any]) -> list[str]:
    return [f"# {printable(said(sentence))}" for sentence in view["health"]]


def state_word(state: str) -> str:
    """A node's state for people."""
    words = {
        "alive": t("alive"),
        "suspect": t("suspect"),
        "unreachable": t("unreachable"),
        "dead": t("dead"),
        "left": t("left"),
        "offline": t("offline"),
        "failed": t("FAILED"),
        "untrusted": t("untrusted"),
    }
    return words.get(state, state)
