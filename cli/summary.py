"""The end of a run: one line of what was done, then every failure, last and in full."""

from __future__ import annotations

from typing import Any

from cli.i18n import n, t
from cli.progress import ENCODING, safe_line
from cli.settings import Settings, note
from cli.shell import out
from cli.text import human_seconds, printable

FAILURES_SHOWN_MAX = 5


def print_summary(view: dict[str, Any] | None, *, quiet: bool, settings: Settings) -> None:
    """Print a `vitte.run/1`. `quiet`: a single command, whose stdout must stay its own."""
    if view is None:
        return
    for warning in view["warnings"]:
        note(t("warning: {text}", text=printable(warning)))
    planned = view["shards"] or view["error"] is None
    if planned and not quiet:
        for line in lines(view):
            (note if view["kind"] == "command" else out)(line)
    if view["kind"] == "command" and view["error"] is None and not _surprising(view):
        _tell_killed(view)
        return
    _print_failures(view)
    if view["error"] is not None:
        from cli.client import to_error
        from cli.shell import print_error

        print_error(to_error(view["error"]), settings)


def _tell_killed(view: dict[str, Any]) -> None:
    """A command that was killed could not say so itself."""
    for failure in view["failures"]:
        if failure["status"] < 0:
            note(failure_lines(failure)[0])


def _print_failures(view: dict[str, Any]) -> None:
    failures = view["failures"]
    for failure in failures[:FAILURES_SHOWN_MAX]:
        note("\n" + "\n".join(failure_lines(failure)))
    if len(failures) > FAILURES_SHOWN_MAX:
        hidden = len(failures) - FAILURES_SHOWN_MAX
        note(
            n(
                "...and {count} more failure: `vitte dist logs {run}`",
                "...and {count} more failures: `vitte dist logs {run}`",
                hidden,
                run=view["run"],
            )
        )


def _surprising(view: dict[str, Any]) -> bool:
    """A command failed for a reason that it did not print itself."""
    return any(failure["error"] is not None for failure in view["failures"])


def lines(view: dict[str, Any]) -> list[str]:
    """The summary of a run: what happened, and where."""
    fields = {
        "kind": view["kind"],
        "shards": n("{count} shard", "{count} shards", view["shards"]),
        "time": human_seconds(view["seconds"]),
        "counts": ", ".join(_counts(view)),
    }
    if view["cancelled"]:
        text = t("{kind} cancelled after {time}: {shards} ({counts})", **fields)
    elif view["ok"]:
        text = t("{kind} done: {shards} in {time} ({counts})", **fields)
    else:
        text = t("{kind} failed: {shards} in {time} ({counts})", **fields)
    places = [f"{printable(name)} {count}" for name, count in sorted(view["nodes"].items())]
    return [text, t("ran on: {nodes}", nodes=", ".join(places))] if places else [text]


def _counts(view: dict[str, Any]) -> list[str]:
    words = [
        (view["cached"], t("cached")),
        (view["remote"], t("remote")),
        (view["local"], t("local")),
        (view["failed"], t("failed")),
        (view["skipped"], t("skipped")),
        (view["stolen"], t("stolen")),
        (view["duplicates"], t("run twice")),
    ]
    always = {t("cached")}
    return [f"{count} {word}" for count, word in words if count or word in always]


def failure_lines(failure: dict[str, Any]) -> list[str]:
    """A failed shard: what, where, the command, its last lines, and how to run it here."""
    name, node = printable(failure["name"]), printable(failure["node"])
    error = failure["error"]
    if error is not None:
        from cli.client import to_error

        known = to_error(error)
        message = t(known.template()).format(**known.params)
        head = f"{t('FAILED')} {name}: {message} [{known.code}]"
    elif node:
        head = t(
            "FAILED {name} on {node}: {status}",
            name=name,
            node=node,
            status=status_text(failure["status"]),
        )
    else:
        head = t("FAILED {name}: {status}", name=name, status=status_text(failure["status"]))
    result = [head]
    if failure["command"]:
        result.append("  " + t("command: {command}", command=printable(failure["command"])))
    for tail in (failure["stdout_tail"], failure["stderr_tail"]):
        text = tail.encode(*ENCODING).decode("utf-8", "replace").rstrip("\n")
        result += [f"  | {safe_line(line)}" for line in text.split("\n") if text]
    if failure["rerun"]:
        result.append("  " + t("rerun here: {command}", command=printable(failure["rerun"])))
    return result


def status_text(status: int) -> str:
    """An exit status or, negative, the signal that ended the process."""
    if status >= 0:
        return t("exit status {status}", status=status)
    import signal

    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = str(-status)
    return t("ended by {signal}", signal=name)
