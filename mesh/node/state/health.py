"""How the shared state fares, for `vitte mesh status`: size, what is missing, who misbehaves.

Not here: single events (`mesh.node.audit`), and whether nodes are alive (`mesh.node.views`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice

from mesh.control.state_views import DivergenceView, ForkView, LogHealthView, RefusedView
from mesh.log.model import FeedId
from mesh.node.state.driver import SharedState
from mesh.state.actions import Divergent
from mesh.types import NodeId

SHOWN_MAX = 20
"""Forks, divergences and refusals that are listed; their number is always said."""
PREFIX_DIGITS = 16

Names = Callable[[NodeId], str]


def log_health(
    state: SharedState, name_of: Names, counters: Mapping[str, int], members: list[NodeId]
) -> LogHealthView:
    """`counters`: everything the node has counted; those named after a peer are shown with it."""
    replica = state.replica
    log, view = replica.log, replica.state
    counts = log.counts()
    divergences = view.actions.divergences()
    taint = view.taint(at_once=False)
    return {
        "feeds": counts.feeds,
        "frames": counts.frames,
        "events": counts.events,
        "size_bytes": state.segments.size_bytes,
        "behind_events": behind(state),
        "lost_events": counts.lost,
        "forks": [_fork(feed, name_of) for feed in islice(sorted(log.forks), SHOWN_MAX)],
        "divergent": len(divergences),
        "divergences": [_divergence(each, name_of) for each in divergences[:SHOWN_MAX]],
        "withdrawn": len(taint.withdrawn),
        "tainted": len(taint.derived),
        "damaged": len(state.segments.damage),
        "refused": (refused(counters, name_of, members) + carried(state, name_of))[:SHOWN_MAX],
        "unwritten_bytes": state.segments.unwritten_bytes if state.trouble else 0,
        "unlogged_events": replica.unlogged,
        "is_full": not log.has_room,
        "trouble": state.trouble or state.upkeep.trouble,
    }


def behind(state: SharedState) -> int:
    """Events that linked peers are known to have and that are not here yet."""
    log = state.replica.log
    most: dict[FeedId | bytes, int] = {}
    for session in state.replica.sync.sessions.values():
        for need in session.needs.values():
            have = log.head(need.feed).count if need.feed is not None else 0
            key = need.feed if need.feed is not None else need.mark
            most[key] = max(most.get(key, 0), need.count - have)
    return sum(max(0, count) for count in most.values())


def _fork(feed: FeedId, name_of: Names) -> ForkView:
    return {"node": name_of(feed.node), "id": feed.node.hex(), "feed": str(feed)}


def _divergence(each: Divergent, name_of: Names) -> DivergenceView:
    return {
        "action": each.action.hex(),
        "sides": [
            {
                "outputs": outputs.hex(),
                "builders": [name_of(claim.builder) for claim in side],
                "records": [claim.record.hex() for claim in side],
            }
            for outputs, side in each.sides.items()
        ],
    }


def refused(
    counters: Mapping[str, int], name_of: Names, members: list[NodeId]
) -> list[RefusedView]:
    """Counters that end in the beginning of a member's id: what it did that nobody should."""
    prefixes = {node.hex()[:PREFIX_DIGITS]: node for node in members}
    found: list[RefusedView] = []
    for counter, count in sorted(counters.items()):
        reason, _, prefix = counter.rpartition(".")
        if reason and len(prefix) == PREFIX_DIGITS and _is_hex(prefix):
            node = prefixes.get(prefix)
            name = name_of(node) if node is not None else prefix[:8]
            found.append({"node": name, "id": prefix, "reason": reason, "count": count})
    return sorted(found, key=lambda each: (-each["count"], each["node"], each["reason"]))


def carried(state: SharedState, name_of: Names) -> list[RefusedView]:
    """What a peer brought and the log did not take, whoever is to blame."""
    return [
        {"node": name_of(node), "id": node.hex()[:PREFIX_DIGITS], "reason": reason, "count": count}
        for (node, reason), count in sorted(state.replica.sync.carried.items())
    ]


def strangers(counters: Mapping[str, int]) -> list[RefusedView]:
    """Connections of whom nobody knows who they were: no member's, or not the one it claimed."""
    return [
        {"node": "", "id": "", "reason": f"stream.{reason}", "count": count}
        for reason, count in sorted(counters.items())[:SHOWN_MAX]
    ]


def _is_hex(text: str) -> bool:
    return all(digit in "0123456789abcdef" for digit in text)
