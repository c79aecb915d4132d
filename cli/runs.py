"""Following one run to its end: events to a renderer, Ctrl-C to the node, an exit status back.

The first Ctrl-C half-closes the connection, which cancels the run; the node's last lines (what was
done, what was stopped) are still read, for a bounded time. The second one leaves at once. The
signal handler only counts and hangs up: raising in the middle of reading a line would lose it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Protocol

from cli.client import Call, to_error
from cli.settings import Settings
from cli.shell import EXIT_INTERRUPTED, describe, print_error
from cli.summary import print_summary
from cli.text import print_json
from mesh.errors import MeshError, RunCancelled

CANCEL_WAIT_S = 10.0
TICK_S = 0.1


class Sink(Protocol):
    """Something that shows a run while it runs."""

    def event(self, event: dict[str, Any]) -> None: ...

    def tick(self) -> None:
        """Called about every TICK_S."""
        ...

    def close(self) -> None:
        """Nothing more will come: leave the terminal as it was."""
        ...


class Outcome:
    """How a run ended: its view, if there was one, and the error, if there was one."""

    def __init__(self) -> None:
        self.view: dict[str, Any] | None = None
        self.error: MeshError | None = None


def execute(home: str, request: dict[str, Any], settings: Settings, progress: str) -> int:
    """Run `request` on the node of `home`; return the exit status."""
    command = request["kind"] == "command"
    phases = _shows_phases(settings, progress, command=command)
    with Call(home, "run", **request, phases=phases) as call:
        sink = _sink(settings, progress, command=command)
        try:
            outcome, interrupts = follow(call, sink)
        finally:
            sink.close()
    code = _exit_code(outcome)
    if settings.json:
        _print_json_end(outcome)
    else:
        print_summary(outcome.view, quiet=command and progress != "plain", settings=settings)
        if outcome.error is not None:
            print_error(outcome.error, settings)
    return EXIT_INTERRUPTED if interrupts else code


def follow(call: Call, sink: Sink) -> tuple[Outcome, int]:
    """Read events until the end; also the number of Ctrl-C."""
    outcome = Outcome()
    with Interrupts(call.hang_up) as interrupts:
        while True:
            if interrupts.overdue():
                outcome.error = RunCancelled()
                return outcome, interrupts.count
            line = call.next(TICK_S)
            if line is None:
                sink.tick()
            elif "event" in line:
                if line["event"]["event"] == "finish":
                    outcome.view = line["event"]["view"]
                else:
                    sink.event(line["event"])
            elif "ok" in line:
                view = outcome.view = line["ok"]
                if view["cancelled"]:  # from another terminal: this one must say so, too
                    outcome.error = RunCancelled()
                return outcome, interrupts.count
            else:
                outcome.error = to_error(line["error"])
                return outcome, interrupts.count


class Interrupts:
    """Turns the first Ctrl-C into `hang_up()` and the second into KeyboardInterrupt."""

    def __init__(self, hang_up: Callable[[], None]) -> None:
        self._hang_up = hang_up
        self._first_s = 0.0
        self.count = 0

    def overdue(self) -> bool:
        """The node has had long enough to say what was cancelled."""
        return self.count > 0 and time.monotonic() - self._first_s > CANCEL_WAIT_S

    def __enter__(self) -> Interrupts:
        self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self.count > 1:
            raise KeyboardInterrupt
        self._first_s = time.monotonic()
        self._hang_up()


def _sink(settings: Settings, progress: str, *, command: bool) -> Sink:
    from cli import progress as plain

    if settings.json:
        return plain.JsonSink()
    if command:
        return plain.CommandSink(show_progress=progress == "plain")
    if progress == "none":
        return plain.OutputSink()
    if progress == "plain" or not on_terminal():
        return plain.PlainSink()
    from cli.live import LiveSink

    return LiveSink(settings)


def _shows_phases(settings: Settings, progress: str, *, command: bool) -> bool:
    """Whether the sink has any use for `shards` events, which are most of what a run tells."""
    return settings.json or progress == "plain" or (progress == "auto" and not command)


def on_terminal() -> bool:
    return os.isatty(2) and os.environ.get("TERM") != "dumb" and not os.environ.get("CI")


def _exit_code(outcome: Outcome) -> int:
    if outcome.error is not None:
        return outcome.error.exit_code
    assert outcome.view is not None
    code: int = outcome.view["exit_code"]
    return code


def _print_json_end(outcome: Outcome) -> None:
    """The last line is the view of the run, or the error when there is no run to speak of."""
    if outcome.view is not None:
        print_json(outcome.view)
    elif outcome.error is not None:
        print_json({"schema": "vitte.error/1", "error": describe(outcome.error)})
