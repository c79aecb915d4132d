"""The JSON lines of streaming operations (`run`, `logs`, `join`...), before the final view.

The rules are those of `mesh.control.views`. Nothing here runs, and only `typing` is imported.
"""

from __future__ import annotations

from typing import Any, TypedDict

from mesh.control.views import RunView

ShardItem = list[Any]
"""[index, phase, where, detail, name, seconds]

`where` is the node concerned (the thief, the builder; "" for none). `detail` is the Source when
done, `3.1/8 MB` while sending or fetching, else "". `seconds`: how long it took, once it is final.
"""


class PlanEvent(TypedDict):
    """event=plan: the graph is closed, `shards` will not grow."""

    event: str
    run: str
    kind: str
    planner: str
    explanation: str
    shards: int
    root: str


class ShardsEvent(TypedDict):
    """event=shards: batched; at most one item per shard, its newest phase."""

    event: str
    items: list[ShardItem]


class OutputEvent(TypedDict):
    """event=output: `stream` is 1 or 2.

    With `live`, pieces come while the shard runs. Without, whole and only of shards that succeeded
    and wrote something: what failed shards wrote is in the final view.
    """

    event: str
    shard: int
    name: str
    node: str
    stream: int
    text: str


class FinishEvent(TypedDict):
    """event=finish: the last event of a run. It comes before the final line, also when the run was
    cancelled and the final line is an error."""

    event: str
    view: RunView


class ResyncEvent(TypedDict):
    """event=resync: the client was too slow and `lost` events were dropped.

    What follows is a fresh snapshot: the plan, and one ShardsEvent with every shard.
    """

    event: str
    lost: int


class FoundEvent(TypedDict):
    """event=found (join)"""

    event: str
    mesh: str
    node: str
    address: str


class CheckWordsEvent(TypedDict):
    """event=check_words (join by approval): must be the same on both screens."""

    event: str
    words: list[str]


class WaitingEvent(TypedDict):
    """event=waiting (join by approval)"""

    event: str
    seconds: float


class JoinedEvent(TypedDict):
    """event=joined (join, invite_code)"""

    event: str
    name: str
    mesh: str


class CodeEvent(TypedDict):
    """event=code (invite_code): `command` is the whole line to type on the other machine."""

    event: str
    code: str
    command: str
    expires_unix_s: float


class ExpiredEvent(TypedDict):
    """event=expired (invite_code)"""

    event: str


class CacheCheckedEvent(TypedDict):
    """event=cache_checked (cache_verify): read so far."""

    event: str
    blobs: int
    size_bytes: int
