"""How the shared state is shown: its health in `status`, removals, and what they withdraw. The
rules are those of `mesh.control.views`; nothing but `typing` is imported."""

from __future__ import annotations

from typing import TypedDict


class ForkView(TypedDict):
    """A feed of which there is proof that its writer signed two histories."""

    node: str
    id: str
    feed: str


class SideView(TypedDict):
    """One of several outputs of an action: who got them, and the blobs that prove it."""

    outputs: str
    builders: list[str]
    records: list[str]


class DivergenceView(TypedDict):
    """An action of which different things came out: an alarm. All of them are kept."""

    action: str
    sides: list[SideView]


class RefusedView(TypedDict):
    """What a peer did that was refused. `reason` is the counter's name, `id` the beginning of the
    node's id; both name and id are empty for those who never got past the door."""

    node: str
    id: str
    reason: str
    count: int


class LogHealthView(TypedDict):
    """The log of this node. `behind_events`: linked peers have them and they are not here yet;
    `withdrawn` results and `tainted` actions are not offered any more (`cache_taint`).
    `unwritten_bytes` wait in memory because the disk does not take them; `is_full`: as many as may,
    so nothing of others is taken until there is room; `unlogged_events` of our own were refused
    for that reason since the start."""

    feeds: int
    frames: int
    events: int
    size_bytes: int
    behind_events: int
    lost_events: int
    forks: list[ForkView]
    divergent: int
    divergences: list[DivergenceView]
    withdrawn: int
    tainted: int
    damaged: int
    refused: list[RefusedView]
    unwritten_bytes: int
    unlogged_events: int
    is_full: bool
    trouble: str


class RevokedView(TypedDict):
    """`vitte.revoked/1`: of what the node wrote, `kept_events` go on counting; `withdrawn` results
    do not, nor `tainted` actions that were made from them."""

    schema: str
    name: str
    id: str
    kept_events: int
    cut_events: int
    withdrawn: int
    tainted: int


class PolicyView(TypedDict):
    """`vitte.policy/1`: `trust` is own, any or a number of builders; `here` what this node goes by,
    which may be stricter. `decided`: decisions that stand; several were made at once."""

    schema: str
    trust: str
    here: str
    copies: int
    decided: int


class WithdrawnView(TypedDict):
    """A result that only what a removal cut off vouches for."""

    action: str
    outputs: str
    builders: list[str]
    records: list[str]


class CacheTaintView(TypedDict):
    """`vitte.cache_taint/1`: what no node offers any more. `derived`: actions that were made from
    it, whoever ran them. `node` is empty when all removals were asked about."""

    schema: str
    node: str
    withdrawn: list[WithdrawnView]
    derived: list[str]
