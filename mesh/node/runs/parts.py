"""What a run is made of, and what the user asked of it."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from mesh.action.model import LogBlob
from mesh.cas.blobs import BlobStore
from mesh.cas.filehash import FileHasher
from mesh.node.blobs import BlobExchange
from mesh.node.counters import Counters
from mesh.node.state.results import ActionResults
from mesh.node.work import WorkDriver
from mesh.planners.base import Plan
from mesh.planners.resolve import ResolverConfig
from mesh.ports import Env
from mesh.scheduler.history import History
from mesh.scheduler.model import RunPolicy
from mesh.types import NodeId


@attrs.frozen
class RunOptions:
    """The flags of `vitte dist run`."""

    policy: RunPolicy
    keep_going: bool = False
    use_cache: bool = True
    timeout_s: float | None = None
    live: bool = False


@attrs.frozen
class RunParts:
    """The node's services, as a run sees them."""

    env: Env
    me: NodeId
    store: BlobStore
    results: ActionResults
    hasher: FileHasher
    history: History
    work: WorkDriver
    blobs: BlobExchange
    counters: Counters
    resolver_config: Callable[[Plan], ResolverConfig]
    near_first: Callable[[], list[NodeId]]
    """Linked peers, nearest first."""
    unlinked: Callable[[], list[NodeId]]
    """Members that are alive and to whom there is no link yet, as just after a start."""
    name_of: Callable[[NodeId], str]
    may_build: Callable[[NodeId], bool]
    log_text: Callable[[LogBlob], bytes | None]
    log_bug: Callable[[BaseException], None]
    warnings: Callable[[], list[str]]
    """What every run should say, e.g. that there is no sandbox."""
