"""The JSON about leaves: answers and events of the `leaf_*` operations.

The rules are those of `mesh.control.views`. Nothing here runs, and only `typing` is imported.
"""

from __future__ import annotations

from typing import TypedDict

from mesh.control.views import LeafView


class LeafListView(TypedDict):
    """`vitte.leaves/1`. `ports`: the lines of this node at which no leaf of the mesh is."""

    schema: str
    leaves: list[LeafView]
    ports: list[PortView]


class PortView(TypedDict):
    port: str
    baud: int
    trouble: str


class RuleStateView(TypedDict):
    """`trigger`: every, edge, line. `name` and the slots' names are known where it was deployed."""

    name: str
    trigger: str
    worst: int
    runs: int
    slots: dict[str, int]


class LeafShowView(LeafView):
    """`vitte.leaf/1`: what `vitte leaf show` says beyond a line of the list."""

    schema: str
    authority: str
    firmware: str
    program: str
    stack_bytes: int | None
    uptime_s: float | None
    reset_cause: str
    resource_failures: int | None
    crc_errors: int | None
    overruns: int | None
    lost_events: int | None
    waiting_events: int | None
    rule_states: list[RuleStateView]


class LeafProvisionView(TypedDict):
    """`vitte.leaf_provision/1`: `known` when it was a leaf of the mesh already."""

    schema: str
    name: str
    id: str
    board: str
    known: bool


class LeafAttachView(TypedDict):
    """`vitte.leaf_attach/1`"""

    schema: str
    name: str
    id: str
    port: str


class LeafDetachView(TypedDict):
    """`vitte.leaf_detach/1`"""

    schema: str
    port: str
    detached: bool


class LeafRemoveView(TypedDict):
    """`vitte.leaf_remove/1`"""

    schema: str
    name: str
    id: str


class LeafDeployView(TypedDict):
    """`vitte.leaf_deploy/1`: the signed program (base64) is `package`; `deployed` is false when it
    was only signed."""

    schema: str
    name: str
    counter: int
    rules: list[str]
    package: str
    bytes: int
    deployed: bool


class LeafLogsView(TypedDict):
    """`vitte.leaf_logs/1`: the end of a `leaf_logs` stream."""

    schema: str
    name: str
    events: int
    missing_events: int


class TrialEvent(TypedDict):
    """event=trial (leaf_deploy): it runs; `seconds` until it is confirmed."""

    event: str
    counter: int
    seconds: float


class LeafLogEvent(TypedDict):
    """event=leaf_event (leaf_logs): `start` (8 bytes) and `number` name it for ever. `kind`:
    emitted, asked, system; `what` is the word for the code of a system event."""

    event: str
    start: str
    number: int
    unix_s: float
    kind: str
    rule: int
    code: int
    what: str
    value: int
    slot: int


class LeafGapEvent(TypedDict):
    """event=leaf_gap (leaf_logs): so many events from `number` on are not here. `let_go`: they
    were, and are older than what is kept. `signed`: the leaf's signature covers the chain that goes
    on behind them, from `head`: nobody else has left them out."""

    event: str
    start: str
    number: int
    missing: int
    let_go: bool
    signed: bool
    head: str
