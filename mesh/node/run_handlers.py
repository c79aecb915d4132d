"""Operations about runs: start, watch, list, explain, cancel."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from mesh.control.outbox import Outbox
from mesh.control.server import Handler
from mesh.errors import BadRequest
from mesh.identity.roles import SUBMIT
from mesh.node.runs.explain import explain
from mesh.node.runs.parts import RunOptions
from mesh.node.runs.record import Emit, RunHead, RunRecord
from mesh.node.runs.run import Run
from mesh.planners.base import Kind, PlanRequest
from mesh.scheduler.model import Mode, RunPolicy
from mesh.types import RunId

if TYPE_CHECKING:
    from mesh.node.node import Node

RUN_ID_BYTES = 8


def run_handlers(node: Node) -> dict[str, Handler]:
    """`run`, `runs`, `logs`, `explain`, `cancel`."""
    scopes: dict[str, trio.CancelScope] = {}

    async def run(params: dict[str, Any], emit: Outbox) -> Mapping[str, Any]:
        return await _run(node, scopes, params, emit)

    async def runs(_params: dict[str, Any], _emit: Outbox) -> Mapping[str, Any]:
        now_s = node.env.clock.monotonic()
        briefs = [record.brief(now_s) for record in node.archive.newest_first()]
        return {"schema": "vitte.runs/1", "runs": briefs}

    async def logs(params: dict[str, Any], emit: Outbox) -> Mapping[str, Any]:
        record = node.archive.find(params["run"])
        if params["follow"] and record.view is None:
            await _follow(record, emit)
        else:
            await _replay(record, emit)
            if record.view is not None:
                emit({"event": "finish", "view": record.view})
        return {"schema": "vitte.logs/1", "run": record.head.run, "state": record.state}

    async def explain_(params: dict[str, Any], _emit: Outbox) -> Mapping[str, Any]:
        record = node.archive.find(params["run"])
        names = [node.runtime.name_of(peer) for peer in node.runtime.links.by_node]
        return explain(record, params["shard"], [*names, node.config.name])

    async def cancel(params: dict[str, Any], _emit: Outbox) -> Mapping[str, Any]:
        record = node.archive.find(params["run"])
        scope = scopes.get(record.head.run)
        if scope is not None:
            scope.cancel()
        view = {"schema": "vitte.cancel/1", "run": record.head.run, "state": record.state}
        return {**view, "cancelled": scope is not None}

    return {"run": run, "runs": runs, "logs": logs, "explain": explain_, "cancel": cancel}


async def _run(
    node: Node, scopes: dict[str, trio.CancelScope], params: dict[str, Any], emit: Outbox
) -> Mapping[str, Any]:
    runtime = node.runtime
    runtime.identity.require(SUBMIT)
    request, options = _request(params), _options(params)
    run_id = RunId(node.env.entropy.token(RUN_ID_BYTES))
    clock = node.env.clock
    head = RunHead(run_id.hex(), params["kind"], params["cwd"], clock.wall(), clock.monotonic())
    record = RunRecord(head)
    emit.snapshot = record.snapshot
    record.listen(emit, phases=params["phases"])
    node.archive.add(record)
    runtime.deeds.run_began(record)
    try:
        with trio.CancelScope() as scopes[head.run]:
            await Run(runtime.run_parts(), run_id, request, options, record).execute()
    finally:
        del scopes[head.run]
        record.unlisten(emit)
        node.after_run(record)
        if record.view is not None:
            runtime.deeds.run_ended(record)
    assert record.view is not None
    return record.view


def _request(params: dict[str, Any]) -> PlanRequest:
    try:
        kind = Kind(params["kind"])
    except ValueError:
        raise BadRequest(why=f"there is no kind of run called `{params['kind']}`") from None
    return PlanRequest(
        kind=kind,
        cwd=Path(params["cwd"]),
        argv=tuple(params["argv"]),
        targets=tuple(params["targets"]),
        outputs=tuple(params["outputs"]),
        env=params["env"],
    )


def _options(params: dict[str, Any]) -> RunOptions:
    try:
        mode = Mode(params["mode"])
    except ValueError:
        raise BadRequest(why=f"there is no mode called `{params['mode']}`") from None
    return RunOptions(
        policy=RunPolicy(mode=mode, jobs=max(0, params["jobs"] or 0)),
        keep_going=params["keep_going"],
        use_cache=params["use_cache"],
        timeout_s=params["timeout_s"],
        live=params["live"],
    )


async def _follow(record: RunRecord, emit: Outbox) -> None:
    """Send everything from the start, then live, until the run ends."""
    over = trio.Event()

    def pass_on(event: dict[str, Any]) -> None:
        emit(event)
        if event["event"] == "finish":
            over.set()

    emit.snapshot = record.snapshot
    await _replay(record, emit, then=pass_on)
    try:
        if record.view is None:
            await over.wait()
        else:  # it ended while the start was still being sent
            pass_on({"event": "finish", "view": record.view})
    finally:
        record.unlisten(pass_on)


async def _replay(record: RunRecord, emit: Outbox, then: Emit | None = None) -> None:
    """Send what is known so far at the client's pace; `then` is told what happens from there on."""
    emit.snapshot = record.snapshot
    for event in record.snapshot():
        await emit.room()
        emit(event)
    sent = 0
    while sent < len(record.outputs):
        await emit.room()
        emit(record.outputs[sent])
        sent += 1
    if then is not None:
        record.listen(then)
        for event in record.snapshot():  # phases may have changed while the output was sent
            emit(event)
