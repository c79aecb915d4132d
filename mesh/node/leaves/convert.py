"""Between the values of `mesh.leaf` and the messages of `mesh.wire.leaf_messages`."""

from __future__ import annotations

from collections.abc import Sequence

from mesh.leaf.messages import Status
from mesh.wire.leaf_messages import RULES_MAX, LeafHealth, LeafRule

INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1


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
