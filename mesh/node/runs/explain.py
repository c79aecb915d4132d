"""From a run's record to sentences: why each shard ran where it ran.

The data is what the scheduler itself traced when it decided, so the explanation cannot differ from
the decision.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches

from mesh.control.views import ExplainView, NodeReason, ShardView
from mesh.errors import AmbiguousShard, NoSuchShard
from mesh.node.runs.record import RunRecord, ShardRecord

SHOWN_MAX = 3
"""Shards named when one that was asked for is not clear."""

_WHY = {
    "cached": "its result was already known: same command, same inputs, same tools",
    "local": "a slot was free on this machine when its turn came",
    "remote": "it was stolen: {where} asked for work while this machine's slots were busy",
}


def explain(record: RunRecord, shard: str | None, nodes: Sequence[str]) -> ExplainView:
    """All shards, or the one that `shard` names, with every node's reason.

    `nodes` are the names of the nodes that are linked now. Raises NoSuchShard, AmbiguousShard.
    """
    if shard is None:
        views = [_view(each) for each in record.shards]
    else:
        found = _find(record, shard)
        views = [{**_view(found), "nodes": _reasons(found, nodes), "timeline": found.timeline}]
    return {
        "schema": "vitte.explain/1",
        "run": record.head.run,
        "state": record.state,
        "shards": views,
    }


def _find(record: RunRecord, wanted: str) -> ShardRecord:
    if wanted.isdecimal() and int(wanted) < len(record.shards):
        return record.shards[int(wanted)]
    exact = [each for each in record.shards if each.name == wanted]
    partly = [each for each in record.shards if wanted in each.name]
    if exact or len(partly) == 1:
        return (exact or partly)[0]
    if partly:
        some = ", ".join(each.name for each in partly[:SHOWN_MAX])
        more = ", ..." if len(partly) > SHOWN_MAX else ""
        run = record.head.run
        raise AmbiguousShard(run=run, shard=wanted, count=len(partly), some=some + more)
    close = get_close_matches(wanted, [each.name for each in record.shards], SHOWN_MAX)
    near = f"; close: {', '.join(close)}" if close else ""
    raise NoSuchShard(run=record.head.run, shard=wanted + near)


def _view(shard: ShardRecord) -> ShardView:
    return {
        "index": shard.index,
        "name": shard.name,
        "phase": shard.phase,
        "source": shard.source,
        "where": shard.where,
        "seconds": round(shard.seconds, 3),
        "why": _why(shard),
    }


def _why(shard: ShardRecord) -> str:
    retries = [e for e in shard.timeline if e["phase"] in ("expired", "lost", "retry", "declined")]
    told = [e["detail"] for e in shard.timeline if e["phase"] in ("cache", "forced")]
    if shard.phase == "skipped":
        last = [e["detail"] for e in shard.timeline if e["phase"] == "skipped" and e["detail"]]
        return last[-1] if last else "something it needs failed"
    if shard.phase == "failed":
        return f"it failed on {shard.where}" if shard.where else "no node could run it"
    if shard.phase != "done":
        return f"it is {shard.phase}" + (f" on {shard.where}" if shard.where else "")
    sentence = _WHY.get(shard.source, "").format(where=shard.where)
    if told:
        sentence = told[-1]
    for each in retries:
        sentence += f"; before that {each['where']}: {each['detail']}"
    return sentence


def _reasons(shard: ShardRecord, nodes: Sequence[str]) -> list[NodeReason]:
    reasons: dict[str, str] = {}
    for entry in shard.timeline:
        if entry["where"] and entry["detail"]:
            reasons[entry["where"]] = f"{entry['phase']}: {entry['detail']}"
    reasons.update(shard.refusals)
    if shard.source == "cached":
        default = "was not asked: the result was known"
    else:
        default = "did not ask for work while this shard waited, or others came first"
    for node in nodes:
        reasons.setdefault(node, default)
    return [{"node": node, "reason": reason} for node, reason in sorted(reasons.items())]
