"""The JSON that the control socket and `--json` speak: one TypedDict per view.

One object is both the machine answer and what the text is rendered from. Rules: every view names
its schema; fields are added, never renamed; units are in the names; states are words of the lists
below, never sentences; identifiers are lower-case hexadecimal; times that people compare are
seconds since 1970 (`_unix_s`).

Text that came from a program (`text`, `stdout_tail`...) is decoded as UTF-8 with `surrogateescape`,
so that any bytes survive the journey and are written out unchanged.

Streaming operations have lines of their own (`mesh.control.events`); the store's answers are in
`mesh.control.cache_views`. Nothing here runs, and nothing but `typing` and other views is imported:
the command line loads this too.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from mesh.control.state_views import LogHealthView

Phase = Literal[
    "queued", "hashing", "stolen", "sending", "running", "fetching", "done", "failed", "skipped"
]
PHASES: tuple[Phase, ...] = (
    "queued",
    "hashing",
    "stolen",
    "sending",
    "running",
    "fetching",
    "done",
    "failed",
    "skipped",
)
"""In the order of a shard's life; it may go back to `queued` (a thief died). The last three end it
(`mesh.control.phases`)."""
Source = Literal["", "cached", "remote", "local"]
NODE_STATES = ("alive", "suspect", "unreachable", "dead", "left", "offline")
CHECK_STATES = ("ok", "warn", "fail")


class ErrorView(TypedDict):
    """A MeshError. `message` and `hint` are English; the command line translates by `code`."""

    code: str
    params: dict[str, Any]
    message: str
    hint: str
    exit_code: int
    blame: str


class MeshRef(TypedDict):
    name: str
    id: str


# -- answers -------------------------------------------------------------------------------------
class PingView(TypedDict):
    """`vitte.ping/1`: the node runs. `mesh` is null before `init` or `join`."""

    schema: str
    version: str
    pid: int
    home: str
    name: str
    mesh: MeshRef | None


class InitView(TypedDict):
    """`vitte.init/1`"""

    schema: str
    mesh: MeshRef
    name: str
    role: str


class JoinView(TypedDict):
    """`vitte.join/1`"""

    schema: str
    mesh: MeshRef
    name: str
    role: str
    members: int


class InviteView(TypedDict):
    """`vitte.invite/1`: `command` is the whole line to paste on the other machine."""

    schema: str
    token: str
    command: str
    role: str
    uses: int
    expires_unix_s: float


class InviteCodeView(TypedDict):
    """`vitte.invite_code/1`: the end of `invite_code`; `joined` is null when the time was up."""

    schema: str
    code: str
    joined: str | None


class CandidateView(TypedDict):
    name: str
    id: str
    words: list[str]
    address: str
    waiting_s: float


class CandidatesView(TypedDict):
    """`vitte.candidates/1`: who waits to be admitted at this node."""

    schema: str
    candidates: list[CandidateView]


class AdmittedView(TypedDict):
    """`vitte.admitted/1`"""

    schema: str
    name: str
    role: str
    denied: bool


class LeaveView(TypedDict):
    """`vitte.leave/1`"""

    schema: str
    mesh: MeshRef
    name: str


class MemberView(TypedDict):
    name: str
    id: str
    role: str
    state: str
    address: str
    admitted_by: str
    self: bool


class MembersView(TypedDict):
    """`vitte.members/1`: everybody the mesh admitted, whether reachable or not."""

    schema: str
    mesh: MeshRef
    members: list[MemberView]


class ChargeView(TypedDict):
    """One member's signed word against another. `evidence`: silent, refused."""

    accuser: str
    evidence: str
    vote: bool
    observer: bool
    ago_s: float
    signature: str


class HappeningView(TypedDict):
    """`what`: alive, suspect, unreachable, dead, left, charged, voted, refuted; `by` is empty for
    what the member did itself or this node concluded."""

    ago_s: float
    what: str
    by: str
    evidence: str
    epoch: int
    incarnation: int


class WhyView(TypedDict):
    """`vitte.why/1`: what this node knows about a member, and who said it. `quorum` is null when
    too few members are left for any verdict; `heard_ago_s` when it was never heard directly;
    `state` is offline, and the rest empty, when nothing is known."""

    schema: str
    name: str
    id: str
    self: bool
    state: str
    since_ago_s: float | None
    epoch: int
    incarnation: int
    address: str
    signature: str
    heard_ago_s: float | None
    observers: list[str]
    quorum: int | None
    charges: list[ChargeView]
    history: list[HappeningView]


class NodeView(TypedDict):
    """One line of `status`. `rtt_ms` is null for this node and for those not measured yet.

    `offline_since_unix_s` and `waiting_events` (of the log, which it cannot have yet) are null for
    a node that is linked; for this node, while any other is."""

    name: str
    id: str
    state: str
    role: str
    self: bool
    slots: int
    busy: int
    queued: int
    cpu_percent: int
    memory_free_mib: int
    cache_bytes: int | None
    rtt_ms: float | None
    address: str
    note: str
    offline_since_unix_s: NotRequired[float | None]
    waiting_events: NotRequired[int | None]


class RunBrief(TypedDict):
    """`state`: running, ok, failed, cancelled."""

    run: str
    kind: str
    root: str
    state: str
    shards: int
    done: int
    seconds: float
    started_unix_s: float


class LeafView(TypedDict):
    """A microcontroller at some member's line. `state`: alive, failed (its firmware says so),
    untrusted (it has not proved who it is), offline. `gateway` is empty when it is offline.

    `flash_bytes`, `ram_bytes` (the stack at its deepest included) and all counts are the leaf's own
    word; null before it was asked. `missing_events`: dropped by the leaf, or kept by a gateway that
    was not heard since."""

    name: str
    id: str
    state: str
    gateway: str
    port: str
    board: str
    flash_bytes: int | None
    ram_bytes: int | None
    rules: int | None
    counter: int | None
    trial: bool
    rtt_ms: float | None
    quality_percent: int | None
    firmware_error: int
    events: int
    missing_events: int
    trouble: str


class StatusView(TypedDict):
    """`vitte.status/1`: `health` holds sentences about what is wrong; empty means healthy.

    `mesh` is null while the node is in no mesh. `runs` are the active ones of this node.
    """

    schema: str
    mesh: MeshRef | None
    self: str
    nodes: list[NodeView]
    leaves: list[LeafView]
    runs: list[RunBrief]
    health: list[str]
    sandbox: str
    log: NotRequired[LogHealthView | None]


class ConnectView(TypedDict):
    """`vitte.connect/1`"""

    schema: str
    name: str
    address: str


class FailureView(TypedDict):
    """A failed shard. `rerun` is a shell command that runs it here without the mesh.

    The tails are the last 20 lines. `error` is null when it is nothing but a non-zero `status`.
    """

    name: str
    node: str
    status: int
    command: str
    rerun: str
    stdout_tail: str
    stderr_tail: str
    error: ErrorView | None


class RunView(TypedDict):
    """`vitte.run/1`: the end of a run. `shards` = cached + remote + local + failed + skipped.

    `exit_code`: 0 all done; 1 something failed; 3 tests failed; 4 no tests found; for one command,
    the command's own (128 + signal when a signal ended it). `nodes` counts the shards each node
    ran, cached ones excluded. `error` is what stopped the run itself, when it was not a shard.
    """

    schema: str
    run: str
    kind: str
    root: str
    planner: str
    ok: bool
    exit_code: int
    cancelled: bool
    shards: int
    cached: int
    remote: int
    local: int
    failed: int
    skipped: int
    stolen: int
    duplicates: int
    seconds: float
    nodes: dict[str, int]
    failures: list[FailureView]
    warnings: list[str]
    error: ErrorView | None


class RunsView(TypedDict):
    """`vitte.runs/1`: newest first."""

    schema: str
    runs: list[RunBrief]


class LogsView(TypedDict):
    """`vitte.logs/1`: the end of a `logs` stream."""

    schema: str
    run: str
    state: str


class NodeReason(TypedDict):
    """`reason`: a sentence on why this node did or did not run the shard."""

    node: str
    reason: str


class TimelineEntry(TypedDict):
    """`at_s` is counted from the start of the run."""

    at_s: float
    phase: str
    where: str
    detail: str


class ShardView(TypedDict):
    """`source` says how a done shard came about; `why` is one sentence."""

    index: int
    name: str
    phase: str
    source: str
    where: str
    seconds: float
    why: str
    nodes: NotRequired[list[NodeReason]]
    timeline: NotRequired[list[TimelineEntry]]


class ExplainView(TypedDict):
    """`vitte.explain/1`: when a shard is asked for, only that one, with every node's reason."""

    schema: str
    run: str
    state: str
    shards: list[ShardView]


class CancelView(TypedDict):
    """`vitte.cancel/1`: `state` is the run's own, before; `cancelled` whether it was under way."""

    schema: str
    run: str
    state: str
    cancelled: bool


class CheckView(TypedDict):
    """One line of `doctor`. `status`: ok, warn, fail. `next_step` is empty when it is ok."""

    name: str
    status: str
    text: str
    next_step: str


class DoctorView(TypedDict):
    """`vitte.doctor/1`"""

    schema: str
    checks: list[CheckView]


class StopView(TypedDict):
    """`vitte.stop/1`: the node is about to end; its lock is free once it has."""

    schema: str
    pid: int
