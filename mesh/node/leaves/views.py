"""From what is known about leaves to the views of `mesh.control`. Reads all, changes nothing.

A leaf is known by its admission; where it is, and how it is, by the news of its gateway.
"""

from __future__ import annotations

from mesh.control.leaf_views import (
    LeafGapEvent,
    LeafListView,
    LeafLogEvent,
    LeafShowView,
    RuleStateView,
)
from mesh.control.views import LeafView
from mesh.errors import NoSuchLeaf
from mesh.identity.fold import Member
from mesh.leaf.history import Gap, Start
from mesh.leaf.messages import Event, EventKind, SystemEvent
from mesh.node.leaves.desk import board_name
from mesh.node.leaves.gateway import Leaves, Seen
from mesh.node.leaves.programs import Signer
from mesh.wire.leaf_messages import LeafRule

PREFIX_DIGITS_MIN = 4
TRIGGERS = {1: "every", 2: "edge", 3: "line"}
RESET_CAUSES = {
    1: "power",
    2: "pin",
    3: "software",
    4: "watchdog",
    5: "brownout",
    6: "fault",
}


def find(leaves: Leaves, which: str) -> Member:
    """The leaf of that name, or whose id starts so. Raises NoSuchLeaf."""
    everyone = leaves.identity.leaves()
    wanted = [member for member in everyone if member.name == which]
    if not wanted and len(which) >= PREFIX_DIGITS_MIN:
        wanted = [m for m in everyone if m.node_id.hex().startswith(which.lower())]
    if len(wanted) != 1:
        raise NoSuchLeaf(name=which)
    return wanted[0]


def leaf_views(leaves: Leaves) -> list[LeafView]:
    """All leaves of the mesh, by name."""
    seen = leaves.seen()
    return [_view(leaves, each, seen.get(each.node_id)) for each in leaves.identity.leaves()]


def listing(leaves: Leaves) -> LeafListView:
    idle = [line for line in leaves.lines() if line.leaf is None or not leaves.is_leaf(line.leaf)]
    ports = [
        {"port": each.config.port, "baud": each.config.baud, "trouble": each.trouble}
        for each in idle
    ]
    return {"schema": "vitte.leaves/1", "leaves": leaf_views(leaves), "ports": ports}  # type: ignore[typeddict-item]


def show(leaves: Leaves, signer: Signer, member: Member) -> LeafShowView:
    """Everything about one leaf."""
    seen = leaves.seen().get(member.node_id)
    news = seen.news if seen is not None else None
    health = news.health if news is not None else None
    states: list[RuleStateView] = []
    if health is not None:
        rule_names, slot_names = signer.names(member.node_id, health.counter)
        for index, rule in enumerate(health.rules):
            name = rule_names[index] if index < len(rule_names) else f"rule {index}"
            slots = slot_names[index] if index < len(slot_names) else []
            states.append(_rule(name, slots, rule))
    return {
        **_view(leaves, member, seen),
        "schema": "vitte.leaf/1",
        "authority": leaves.name_of(member.admitted_by),
        "firmware": news.firmware.hex() if news is not None else "",
        "program": news.program.hex() if news is not None else "",
        "stack_bytes": health.stack_bytes if health else None,
        "uptime_s": health.uptime_ms / 1000 if health else None,
        "reset_cause": RESET_CAUSES.get(health.reset_cause, "unknown") if health else "",
        "resource_failures": health.resource_failures if health else None,
        "crc_errors": health.crc_errors if health else None,
        "overruns": health.overruns if health else None,
        "lost_events": health.lost_events if health else None,
        "waiting_events": health.waiting_events if health else None,
        "rule_states": states,
    }


def _rule(name: str, slot_names: list[str], rule: LeafRule) -> RuleStateView:
    names = [*slot_names, *(f"slot {i}" for i in range(len(slot_names), len(rule.slots)))]
    return {
        "name": name,
        "trigger": TRIGGERS.get(rule.trigger, str(rule.trigger)),
        "worst": rule.worst,
        "runs": rule.runs,
        "slots": dict(zip(names, rule.slots, strict=False)),
    }


def _view(leaves: Leaves, member: Member, seen: Seen | None) -> LeafView:
    news = seen.news if seen is not None else None
    health = news.health if news is not None else None
    history = leaves.events.history(member.node_id)
    return {
        "name": member.name,
        "id": member.node_id.hex(),
        "state": _state(seen),
        "gateway": leaves.name_of(seen.gateway) if seen is not None else "",
        "port": news.port if news is not None else "",
        "board": board_name(news.board) if news is not None and news.board else "",
        "flash_bytes": health.flash_bytes if health else None,
        "ram_bytes": health.ram_bytes + health.stack_bytes if health else None,
        "rules": len(health.rules) if health else None,
        "counter": health.counter if health else None,
        "trial": health.trial if health else False,
        "rtt_ms": round(news.rtt_us / 1000, 2) if news is not None and news.rtt_us else None,
        "quality_percent": news.quality_percent if news is not None and news.trusted else None,
        "firmware_error": health.firmware_error if health else 0,
        "events": history.count,
        "missing_events": history.missing,
        "trouble": news.trouble if news is not None else "",
    }


def _state(seen: Seen | None) -> str:
    if seen is None:
        return "offline"
    if not seen.news.trusted:
        return "untrusted"
    health = seen.news.health
    return "failed" if health is not None and health.firmware_error else "alive"


# -- events --------------------------------------------------------------------------------------
def log_event(start: Start, number: int, event: Event) -> LeafLogEvent:
    """The line for one event."""
    return {
        "event": "leaf_event",
        "start": start.boot_nonce.hex(),
        "number": number,
        "unix_s": (start.started_unix_ms + event.time_ms) / 1000,
        "kind": event.kind.name.lower(),
        "rule": event.rule,
        "code": event.code,
        "what": _what(event.kind, event.code),
        "value": event.value,
        "slot": event.slot,
    }


def _what(kind: EventKind, code: int) -> str:
    if kind is not EventKind.SYSTEM:
        return ""
    words = {each.value: each.name.lower() for each in SystemEvent}
    return words.get(code, f"system {code}")


def gap_event(start: Start, gap: Gap, head: bytes) -> LeafGapEvent:
    """The line for a hole; `head`: of the leaf's chain before the first event after it."""
    return {
        "event": "leaf_gap",
        "start": start.boot_nonce.hex(),
        "number": gap.first,
        "missing": gap.count,
        "let_go": gap.let_go,
        "signed": gap.signed,
        "head": head.hex(),
    }
