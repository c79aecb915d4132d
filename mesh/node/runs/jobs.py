"""From a resolved step to the job that the work driver takes. Pure."""

from __future__ import annotations

import attrs

from mesh.action.model import EXECUTABLE, FILE, Toolchain
from mesh.executor.tooldirs import tool_dirs
from mesh.node.grants import ShardJob
from mesh.planners.base import Kind, Step
from mesh.planners.resolve import Resolved
from mesh.scheduler.model import Shard, ShardKey
from mesh.types import Digest

HELD_FACTOR, HELD_SLACK_S = 2.0, 60.0
"""A thief may hold a shard for twice its time limit, and this for fetching and waiting there."""


@attrs.frozen
class ShardRequest:
    """What a run knows of one step besides the step itself."""

    key: ShardKey
    kind: Kind
    weight_s: float
    rank_s: float
    live: bool
    tool_dirs: tuple[str, ...]


@attrs.define
class Active:
    """What is known of a step that is past resolving."""

    resolved: Resolved
    job: ShardJob | None = None
    refetched: int = 0


class ToolDirs:
    """Directories of tools, worked out once per toolchain: most steps of a run share one."""

    def __init__(self) -> None:
        self._known: dict[Digest, tuple[str, ...]] = {}

    def of(self, toolchain: Toolchain, digest: Digest) -> tuple[str, ...]:
        if digest not in self._known:
            self._known[digest] = tool_dirs(toolchain, None)
        return self._known[digest]


def shard_job(request: ShardRequest, step: Step, resolved: Resolved) -> ShardJob:
    """The step's shard and everything needed to run it or hand it over."""
    files = [entry for entry in resolved.tree.entries if entry.kind in (FILE, EXECUTABLE)]
    shard = Shard(
        key=request.key,
        name=step.name,
        toolchain=resolved.action.toolchain,
        weight_s=request.weight_s,
        rank_s=request.rank_s,
        warmth=tuple(dict.fromkeys(entry.digest for entry in files)),
        local_only=step.local,
        held_s_max=HELD_FACTOR * step.timeout_s + HELD_SLACK_S,
        may_speculate=request.kind in (Kind.BUILD, Kind.TEST) and resolved.cacheable,
    )
    return ShardJob(
        shard=shard,
        action=resolved.action,
        action_bytes=resolved.action_bytes,
        digest=resolved.digest,
        tree=resolved.tree,
        tree_bytes=resolved.tree_bytes,
        toolchain=resolved.toolchain,
        toolchain_bytes=resolved.toolchain_bytes,
        timeout_s=step.timeout_s,
        memory_bytes=step.memory_bytes,
        tool_dirs=request.tool_dirs,
        live=request.live,
        cacheable=resolved.cacheable,
    )
