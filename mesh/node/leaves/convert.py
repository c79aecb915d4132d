"""Between the values of `mesh.leaf` and the messages of `mesh.wire.leaf_messages`."""

from __future__ import annotations

from collections.abc import Sequence

from mesh.leaf.history import Segment, Start
from mesh.leaf.messages import Event, EventKind, Status
from mesh.limits import LEAF_SPANS_MAX, LEAF_STARTS_KEPT_MAX
from mesh.types import NodeId
from mesh.wire.errors import WireError
from mesh.wire.leaf_messages import (
    RULES_MAX,
    LeafEvent,
    LeafEvents,
    LeafEventsHeld,
    LeafHealth,
    LeafRule,
    LeafSpan,
    LeafStart,
)

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1
STARTED_UNIX_MS_MAX = 2**42
"""Beyond the year 2100: dates that can still be shown."""


def events_message(leaf: NodeId, segment: Segment) -> LeafEvents:
    events = tuple(
        LeafEvent(e.time_ms, e.kind.value, e.rule, e.code, e.value, e.slot) for e in segment.events
    )
    return LeafEvents(
        leaf, segment.boot_nonce, segment.first, segment.head, segment.started_unix_ms, events
    )


def segment_of(message: LeafEvents) -> Segment:
    """Raises WireError for values that no leaf has."""
    if message.started_unix_ms > STARTED_UNIX_MS_MAX:
        raise WireError("leaf-event", "a start in a far future")
    if any(not INT32_MIN <= each.value <= INT32_MAX for each in message.events):
        raise WireError("leaf-event", "a value of more than 32 bits")
    events = tuple(
        Event(e.time_ms, EventKind(e.kind), e.rule, e.code, e.value, e.slot) for e in message.events
    )
    return Segment(message.boot_nonce, message.first, message.head, message.started_unix_ms, events)


def held_message(leaf: NodeId, starts: Sequence[Start]) -> LeafEventsHeld:
    """The newest, as far as one message goes. What was forgotten counts as held."""
    told = []
    for start in starts[-LEAF_STARTS_KEPT_MAX:]:
        forgotten = ((0, start.forgotten),) if start.forgotten else ()
        ranges = (*forgotten, *start.ranges())[:LEAF_SPANS_MAX]
        told.append(LeafStart(start.boot_nonce, tuple(LeafSpan(*each) for each in ranges)))
    return LeafEventsHeld(leaf, tuple(told))


def held_ranges(message: LeafEventsHeld) -> list[tuple[bytes, list[tuple[int, int]]]]:
    return [(s.boot_nonce, [(each.first, each.end) for each in s.spans]) for s in message.starts]


def health_of(status: Status, rules: Sequence[LeafRule]) -> LeafHealth:
    return LeafHealth(
        uptime_ms=status.uptime_ms,
        flash_bytes=status.flash_bytes,
        ram_bytes=status.ram_bytes,
        stack_bytes=status.stack_bytes,
        trial=bool(status.trial),
        counter=status.counter,
        resource_failures=status.resource_failures,
        crc_errors=status.crc_errors,
        overruns=status.overruns,
        lost_events=status.lost_events,
        waiting_events=status.waiting_events,
        reset_cause=status.reset_cause,
        firmware_error=status.firmware_error,
        rules=tuple(rules),
    )


def rules_of(results: Sequence[object]) -> tuple[LeafRule, ...]:
    """What a leaf answers to `rules`; whatever is no rule is left out, for it is only shown."""
    listed = results[0] if len(results) == 1 and type(results[0]) is list else []
    return tuple(rule for each in listed[:RULES_MAX] if (rule := _rule(each)) is not None)


def _rule(item: object) -> LeafRule | None:
    if type(item) is not list or len(item) != 4 or type(item[3]) is not list:
        return None
    numbers = [*item[:3], *item[3]]
    if any(type(each) is not int for each in numbers):
        return None
    if not (0 <= item[0] <= 255 and 0 <= item[1] <= 255 and 0 <= item[2] < 2**32):
        return None
    slots = tuple(item[3])
    if len(slots) > 8 or any(not INT32_MIN <= each <= INT32_MAX for each in slots):
        return None
    return LeafRule(item[0], item[1], item[2], slots)
