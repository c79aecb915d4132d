"""What is known about a run, live and afterwards: shards, phases, output, the story of each shard.

A record never decides anything. It turns what happened into the events and views of
`mesh.control.views`, for any number of listeners, and into one JSON document for later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import attrs

from mesh.action.model import Result
from mesh.control.events import ShardItem
from mesh.control.phases import FINAL_PHASES
from mesh.control.views import (
    ErrorView,
    FailureView,
    RunBrief,
    RunView,
    TimelineEntry,
)
from mesh.limits import RUN_OUTPUT_BYTES_MAX, SHARD_TRACES_MAX

OUTPUT_EVENT_BYTES = 512
"""What one stored piece of output costs besides its text: a peer may send it byte by byte."""

Moment = tuple[float, str, str, str]
"""Seconds since the run's start, phase, where, detail."""
Emit = Callable[[dict[str, Any]], None]


@attrs.define
class ShardRecord:
    """One shard's story so far."""

    index: int
    name: str
    phase: str = "queued"
    where: str = ""
    detail: str = ""
    source: str = ""
    started_s: float = 0.0
    seconds: float = 0.0
    refusals: dict[str, str] = attrs.field(factory=dict)
    """Node name to its reason for not running this shard."""
    moments: list[Moment] = attrs.field(factory=list)
    """The timeline in short: a run makes seven per shard, and few are ever looked at."""

    @property
    def timeline(self) -> list[TimelineEntry]:
        return [
            {"at_s": round(at_s, 4), "phase": phase, "where": where, "detail": detail}
            for at_s, phase, where, detail in self.moments
        ]

    def document(self) -> dict[str, Any]:
        """All fields as JSON values; `attrs.asdict` copies deeply, at 50 times the price."""
        fields = {name: getattr(self, name) for name in _SHARD_FIELDS}
        return {**fields, "timeline": self.timeline}

    @classmethod
    def restore(cls, document: dict[str, Any]) -> ShardRecord:
        """The inverse of `document`."""
        fields = {name: document[name] for name in _SHARD_FIELDS}
        timeline = document["timeline"]
        moments = [(e["at_s"], e["phase"], e["where"], e["detail"]) for e in timeline]
        return cls(**fields, moments=moments)

    def item(self) -> ShardItem:
        seconds = round(self.seconds, 3) if self.phase in FINAL_PHASES else 0.0
        return [self.index, self.phase, self.where, self.detail, self.name, seconds]


_SHARD_FIELDS = tuple(field.name for field in attrs.fields(ShardRecord) if field.name != "moments")


@attrs.frozen
class RunHead:
    """What does not change during a run."""

    run: str
    kind: str
    root: str
    started_unix_s: float
    started_s: float
    """Monotonic."""


@attrs.define
class Totals:
    """Counts for the final view."""

    cached: int = 0
    remote: int = 0
    local: int = 0
    failed: int = 0
    skipped: int = 0
    stolen: int = 0
    duplicates: int = 0
    nodes: dict[str, int] = attrs.field(factory=dict)

    @property
    def done(self) -> int:
        return self.cached + self.remote + self.local + self.failed + self.skipped


class RunRecord:
    """Collects, and tells whoever listens. All methods are synchronous and cheap."""

    def __init__(self, head: RunHead) -> None:
        self.head = head
        self.state = "running"
        self.planner = ""
        self.explanation = ""
        self.shards: list[ShardRecord] = []
        self.totals = Totals()
        self.failures: list[FailureView] = []
        self.warnings: list[str] = []
        self.view: RunView | None = None
        self._outputs: list[dict[str, Any]] = []
        self._output_bytes = 0
        self._output_lost = 0
        self._changed: dict[int, None] = {}
        self._listeners: list[Emit] = []
        self._to_phases: list[Emit] = []

    # -- listeners ------------------------------------------------------------------------------
    def listen(self, emit: Emit, *, phases: bool = True) -> None:
        """Tell `emit` what happens from now on; with or without the shards' phases."""
        self._listeners.append(emit)
        if phases:
            self._to_phases.append(emit)

    def unlisten(self, emit: Emit) -> None:
        """Never mind whether it listens."""
        for listeners in (self._listeners, self._to_phases):
            if emit in listeners:
                listeners.remove(emit)

    @property
    def outputs(self) -> Sequence[dict[str, Any]]:
        """The stored output so far, as events; it only grows."""
        return self._outputs

    def snapshot(self) -> list[dict[str, Any]]:
        """The events that bring a fresh listener up to date, output excluded."""
        if not self.planner:
            return []
        return [
            self._plan_event(),
            {"event": "shards", "items": [shard.item() for shard in self.shards]},
        ]

    def flush(self) -> None:
        """Send the phases that changed since the last flush, newest phase only."""
        if not self._changed:
            return
        changed, self._changed = self._changed, {}
        if self._to_phases:
            items = [self.shards[index].item() for index in changed]
            for listener in self._to_phases:
                listener({"event": "shards", "items": items})

    def _emit(self, event: dict[str, Any]) -> None:
        for listener in self._listeners:
            listener(event)

    # -- what happens ---------------------------------------------------------------------------
    def planned(self, planner: str, explanation: str, names: list[str]) -> None:
        self.planner, self.explanation = planner, explanation
        self.shards = [ShardRecord(index, name) for index, name in enumerate(names)]
        self._emit(self._plan_event())

    def phase(
        self, index: int, phase: str, now_s: float, where: str = "", detail: str = ""
    ) -> None:
        """A shard entered a phase; repeated phases with a new detail (progress) are one entry."""
        shard = self.shards[index]
        if shard.phase in FINAL_PHASES:
            return
        if phase != shard.phase or where != shard.where:
            self.trace(index, phase, now_s, where, detail)
        if phase == "running":
            shard.started_s = now_s
        shard.phase, shard.where, shard.detail = phase, where, detail
        self._changed[index] = None

    def trace(self, index: int, what: str, now_s: float, where: str = "", detail: str = "") -> None:
        """A line of the shard's story that is not a phase of its own."""
        moments = self.shards[index].moments
        if len(moments) < SHARD_TRACES_MAX:
            moments.append((now_s - self.head.started_s, what, where, detail))

    def done(self, index: int, now_s: float, source: str, where: str, seconds: float) -> None:
        """A shard succeeded; `source` is cached, remote or local."""
        shard = self.shards[index]
        shard.source, shard.seconds = source, seconds
        self.phase(index, "done", now_s, where, source)
        setattr(self.totals, source, getattr(self.totals, source) + 1)
        if source != "cached":
            self.totals.nodes[where] = self.totals.nodes.get(where, 0) + 1

    def failed(self, index: int, now_s: float, failure: FailureView, seconds: float) -> None:
        self.shards[index].seconds = seconds
        self.phase(index, "failed", now_s, failure["node"])
        self.totals.failed += 1
        self.failures.append(failure)
        if failure["node"]:
            nodes = self.totals.nodes
            nodes[failure["node"]] = nodes.get(failure["node"], 0) + 1

    def skipped(self, index: int, now_s: float, why: str) -> None:
        if self.shards[index].phase in FINAL_PHASES:
            return
        self.trace(index, "skipped", now_s, "", why)
        self.phase(index, "skipped", now_s)
        self.totals.skipped += 1

    def output(self, index: int, node: str, stream: int, data: bytes) -> None:
        """A piece of a shard's stdout (1) or stderr (2); kept for `logs` within a bound."""
        if not data:
            return
        event = {
            "event": "output",
            "shard": index,
            "name": self.shards[index].name,
            "node": node,
            "stream": stream,
            "text": data.decode("utf-8", "surrogateescape"),
        }
        kept_bytes = len(data) + OUTPUT_EVENT_BYTES
        if self._output_bytes + kept_bytes <= RUN_OUTPUT_BYTES_MAX:
            self._output_bytes += kept_bytes
            self._outputs.append(event)
        else:
            self._output_lost += len(data)
        self._emit(event)

    def dropped(self, index: int, result: Result) -> None:
        """Say what of a shard's output was more than its node keeps."""
        lost_bytes = result.stdout.lost_bytes + result.stderr.lost_bytes
        if lost_bytes:
            name = self.shards[index].name
            self.warn(f"`{name}` wrote too much: {lost_bytes} bytes of it were dropped")

    def warn(self, sentence: str) -> None:
        if sentence not in self.warnings:
            self.warnings.append(sentence)

    def finish(
        self, now_s: float, exit_code: int, error: ErrorView | None, *, cancelled: bool
    ) -> None:
        """Close the record: everything not settled is skipped, and the final event goes out."""
        for shard in self.shards:
            self.skipped(shard.index, now_s, "the run ended before it could start")
        self.flush()
        if self._output_lost:
            self.warn(f"{self._output_lost} bytes of output were not kept for `vitte dist logs`")
        ok = exit_code == 0 and not cancelled
        self.state = "cancelled" if cancelled else "ok" if ok else "failed"
        totals = attrs.asdict(self.totals)
        view: dict[str, Any] = {
            "schema": "vitte.run/1",
            "run": self.head.run,
            "kind": self.head.kind,
            "root": self.head.root,
            "planner": self.planner,
            "ok": ok,
            "exit_code": exit_code,
            "cancelled": cancelled,
            "shards": len(self.shards),
            "seconds": round(now_s - self.head.started_s, 3),
            "failures": self.failures,
            "warnings": self.warnings,
            "error": error,
            **totals,
        }
        self.view = cast("RunView", view)
        self._emit({"event": "finish", "view": self.view})

    # -- views ----------------------------------------------------------------------------------
    def brief(self, now_s: float) -> RunBrief:
        seconds = self.view["seconds"] if self.view else round(now_s - self.head.started_s, 3)
        return {
            "run": self.head.run,
            "kind": self.head.kind,
            "root": self.head.root,
            "state": self.state,
            "shards": len(self.shards),
            "done": self.totals.done,
            "seconds": seconds,
            "started_unix_s": self.head.started_unix_s,
        }

    def document(self) -> dict[str, Any]:
        """Everything, as JSON values, for the archive."""
        return {
            "schema": "vitte.record/1",
            "head": attrs.asdict(self.head),
            "state": self.state,
            "planner": self.planner,
            "explanation": self.explanation,
            "shards": [shard.document() for shard in self.shards],
            "outputs": self._outputs,
            "view": self.view,
        }

    @classmethod
    def restore(cls, document: dict[str, Any]) -> RunRecord:
        """Rebuild a finished record. Raises KeyError or TypeError for a foreign document."""
        record = cls(RunHead(**document["head"]))
        record.state = document["state"]
        record.planner, record.explanation = document["planner"], document["explanation"]
        record.shards = [ShardRecord.restore(shard) for shard in document["shards"]]
        record._outputs = list(document["outputs"])
        record.view = document["view"]
        view = document["view"]
        record.totals = Totals(**{each.name: view[each.name] for each in attrs.fields(Totals)})
        record.failures, record.warnings = view["failures"], view["warnings"]
        return record

    def _plan_event(self) -> dict[str, Any]:
        return {
            "event": "plan",
            "run": self.head.run,
            "kind": self.head.kind,
            "planner": self.planner,
            "explanation": self.explanation,
            "shards": len(self.shards),
            "root": self.head.root,
        }
