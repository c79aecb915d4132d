"""`vitte rule run`: run the rules here, against a simulated board or against this machine.

Simulated time takes no time: ten minutes of rules are over at once. With `--adapters` the time is
the real one. Each line says when, which rule, and what it did; a write is told when it changes
something.
"""

from __future__ import annotations

import re
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs

from cli.i18n import n, t
from cli.settings import Settings, note
from cli.shell import out
from cli.text import print_json
from mesh.rules.engine import Engine, Happened, Ran, ResourceFailed, Said, Wrote
from mesh.rules.isa import INT_MAX, INT_MIN
from mesh.rules.program import Resource
from mesh.rules.resources import spell
from mesh.rules.vm import Asked, Emitted
from sim.app.rules.files import Loaded, load, wrong
from sim.app.rules.outside import AdapterWrong, RealBoard, SimulatedBoard

INPUT = re.compile(r"(?P<name>[^=@]+(?:\(.*\))?)=(?P<value>-?\d+)(?:@(?P<at>\d+(?:\.\d+)?)s?)?")
ANSWER_AFTER_MS = 100
POLL_MS = 10
"""How often this machine's pins are looked at."""
LINES_MAX = 100_000


@attrs.frozen(order=True)
class Change:
    """Something outside that happens at a time."""

    at_ms: int
    index: int
    """Of equal times, as written."""
    resource: Resource = attrs.field(order=False)
    value: int = attrs.field(order=False)


def main(request: dict[str, Any], settings: Settings) -> int:
    loaded = load(request["file"], request["board"])
    teller = Teller(loaded, settings, every_write=bool(request["every_write"]))
    until_ms = int(request["duration"] * 1000)
    if request["adapters"] is None:
        changes = read_changes(request["inputs"], loaded)
        answers = dict(read_answer(each) for each in request["answers"])
        for at_ms, happened in play(loaded, changes, answers, until_ms):
            teller.tell(at_ms, happened)
    else:
        _run_here(loaded, request["adapters"], until_ms, teller)
    teller.end()
    return 0


# -- simulated -------------------------------------------------------------------------------------
def read_changes(texts: list[str], loaded: Loaded) -> list[Change]:
    """`adc(0)=850` from the start, `adc(0)=900@5s` later. Raises RuleFileWrong."""
    known = {spell(each): each for each in loaded.program.resources}
    known |= {f"{each.kind.name.lower()}({each.channel})": each for each in known.values()}
    changes = []
    for index, text in enumerate(texts):
        found = INPUT.fullmatch(text.replace(" ", ""))
        resource = {name.replace(" ", ""): each for name, each in known.items()}.get(
            found["name"] if found else ""
        )
        if found is None or resource is None:
            hint = t("the rules touch {resources}", resources=", ".join(sorted(known)))
            raise wrong(f"--input {text}", t("this is not RESOURCE=NUMBER or …@TIME"), hint)
        at_ms = int(float(found["at"] or 0) * 1000)
        value = max(INT_MIN, min(INT_MAX, int(found["value"])))
        changes.append(Change(at_ms, index, resource, value))
    return sorted(changes)


def read_answer(text: str) -> tuple[int, int]:
    """`1=42`: question 1 is answered with 42. Raises RuleFileWrong."""
    found = re.fullmatch(r"(\d+)=(-?\d+)", text)
    if found is None:
        raise wrong(f"--answer {text}", t("this is not QUESTION=NUMBER"))
    return int(found[1]), int(found[2])


def play(
    loaded: Loaded, changes: list[Change], answers: dict[int, int], until_ms: int
) -> Iterator[tuple[int, Happened]]:
    """What happens, with its time, until then."""
    board, left = SimulatedBoard(), list(changes)
    _apply(board, left, 0)
    engine = Engine(loaded.program, board, 0)
    owed: list[tuple[int, int, int, int]] = []  # when, rule, slot, value
    now_ms = 0
    while True:
        due = [each.at_ms for each in left] + [each[0] for each in owed]
        due += [] if (next_ms := engine.next_due_ms()) is None else [next_ms]
        now_ms = max(now_ms, min(due, default=until_ms + 1))
        if now_ms > until_ms:
            return
        _apply(board, left, now_ms)
        for _, rule, slot, value in [each for each in owed if each[0] <= now_ms]:
            engine.write_input(rule, slot, value)
        owed = [each for each in owed if each[0] > now_ms]
        for happened in engine.poll(now_ms):
            yield now_ms, happened
            if isinstance(happened, Said) and isinstance(happened.message, Asked):
                asked = happened.message
                if asked.prompt in answers:
                    at_ms = now_ms + ANSWER_AFTER_MS
                    owed.append((at_ms, happened.rule, asked.slot, answers[asked.prompt]))


def _apply(board: SimulatedBoard, left: list[Change], now_ms: int) -> None:
    while left and left[0].at_ms <= now_ms:
        change = left.pop(0)
        board.set(change.resource, change.value)


# -- on this machine -------------------------------------------------------------------------------
def _run_here(loaded: Loaded, path: str, until_ms: int, teller: Teller) -> None:
    try:
        adapters = tomllib.loads(Path(path).read_text())
        board = RealBoard(loaded.program, adapters)
    except (OSError, ValueError, AdapterWrong) as error:
        raise wrong(path, str(error)) from None
    try:
        _loop(Engine(loaded.program, board, 0), until_ms, teller.tell)
    except KeyboardInterrupt:
        note(t("interrupted"))
    finally:
        board.close()


def _loop(engine: Engine, until_ms: int, tell: Callable[[int, Happened], None]) -> None:
    start_s = time.monotonic()
    now_ms = 0
    while now_ms <= until_ms:
        for happened in engine.poll(now_ms):
            tell(now_ms, happened)
        due_ms = engine.next_due_ms()
        wake_ms = min(until_ms + 1, now_ms + POLL_MS if due_ms is None else due_ms)
        time.sleep(max(0.001, min(POLL_MS / 1000, wake_ms / 1000 - (time.monotonic() - start_s))))
        now_ms = int((time.monotonic() - start_s) * 1000)


# -- telling ---------------------------------------------------------------------------------------
class Teller:
    """Prints what happens, as it happens; with --json all at once."""

    def __init__(self, loaded: Loaded, settings: Settings, *, every_write: bool) -> None:
        self._loaded = loaded
        self._json = settings.json
        self._every_write = every_write
        self._last: dict[Resource, int] = {}
        self._runs = [0] * len(loaded.program.rules)
        self._longest = [0] * len(loaded.program.rules)
        self._slots = [rule.slots for rule in loaded.program.rules]
        self._view: list[dict[str, Any]] = []
        self._lines = 0

    def tell(self, at_ms: int, happened: Happened) -> None:
        if isinstance(happened, Ran):
            self._runs[happened.rule] += 1
            self._longest[happened.rule] = max(self._longest[happened.rule], happened.steps)
            self._slots[happened.rule] = happened.slots
            return
        text = self._text(happened)
        if not text or self._lines >= LINES_MAX:
            return
        self._lines += 1
        name = self._loaded.rule_name(happened.rule)
        if self._json:
            self._view.append({"time_ms": at_ms, "rule": name, "what": text})
        else:
            out(f"{at_ms / 1000:10.3f} s  {name}: {text}")

    def _text(self, happened: Happened) -> str:
        """In the words of the rule language; empty for what is not worth a line."""
        if isinstance(happened, Wrote):
            if self._last.get(happened.resource) == happened.value and not self._every_write:
                return ""
            self._last[happened.resource] = happened.value
            return f"{spell(happened.resource)}.set({happened.value})"
        if isinstance(happened, ResourceFailed):
            return t("{resource} does not answer", resource=spell(happened.resource))
        assert isinstance(happened, Said)
        message = happened.message
        if isinstance(message, Emitted):
            return f"emit({message.code}, {message.value})"
        return f"ask({message.prompt}, {message.value})"

    def end(self) -> None:
        """The summary, one line a rule."""
        if self._json:
            rules = [
                {
                    "name": self._loaded.rule_name(index),
                    "runs": self._runs[index],
                    "longest": self._longest[index],
                    "worst": rule.worst,
                    "slots": list(self._slots[index]),
                }
                for index, rule in enumerate(self._loaded.program.rules)
            ]
            print_json({"schema": "vitte.rule-run/1", "events": self._view, "rules": rules})
            return
        for index, rule in enumerate(self._loaded.program.rules):
            runs = n("{count} run", "{count} runs", self._runs[index])
            steps = t(
                "longest {longest} of {worst}", longest=self._longest[index], worst=rule.worst
            )
            note(f"{self._loaded.rule_name(index)}: {runs}, {steps}")
