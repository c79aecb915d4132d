"""Vivaldi network coordinates: round trips to members that were never pinged.

Each node has a place in a plane and a height above it (its access link); the round trip between two
is the distance in the plane plus both heights. Each answered ping moves the place a little towards
what was measured, the more the less sure we are (Dabek, Cox, Kaashoek, Morris, SIGCOMM 2004, with
height vectors; gains as there).

Rules: all numbers come from the wire as bounded integers, so no peer can make them infinite or not
a number; one measurement moves us by at most STEP_MAX_S, so a liar moves us slowly, and only as
long as others do not move us back. Deliberately not here: what near members are chosen for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import hypot

import attrs

from mesh.wire.messages import PLACE_BYTES
from mesh.wire.straight import quick

UNIT_S = 100e-6
"""Resolution on the wire."""
PLANE_MAX = 2**15 - 1
FAR_S = PLANE_MAX * UNIT_S
HEIGHT_MAX = 2**16 - 1
HEIGHT_MIN_S = 50e-6
ERROR_MAX = 1.5
ERROR_UNIT = 0.01
GAIN = 0.25
"""c_c and c_e of the paper."""
STEP_MAX_S = 0.1
RTT_MAX_S = 5.0
"""Longer round trips were lateness, not distance."""
ERROR_USABLE = 0.8
TELL_MOVED_S = 0.01
"""Within a LAN nobody moves so far, and nobody needs to tell."""
TELL_EVERY_S = 10.0

assert ERROR_MAX / ERROR_UNIT <= 255
assert PLANE_MAX * UNIT_S > RTT_MAX_S / 2


@quick
@attrs.frozen
class Coordinate:
    """A place. Seconds in every dimension."""

    x_s: float = 0.0
    y_s: float = 0.0
    height_s: float = HEIGHT_MIN_S
    error: float = ERROR_MAX
    """How unsure the node is of its place, relative: 0 to ERROR_MAX."""

    def rtt_s(self, other: Coordinate) -> float:
        """The round trip to expect."""
        plane_s = hypot(self.x_s - other.x_s, self.y_s - other.y_s)
        return plane_s + self.height_s + other.height_s

    def moved_s(self, other: Coordinate) -> float:
        """How far the two are apart as places of one node."""
        plane_s = hypot(self.x_s - other.x_s, self.y_s - other.y_s)
        return plane_s + abs(self.height_s - other.height_s)


ORIGIN = Coordinate()


def moved(
    own: Coordinate, other: Coordinate, rtt_s: float, random: Callable[[], float]
) -> Coordinate:
    """Our place after a round trip of `rtt_s` to a member at `other`."""
    if not 0.0 < rtt_s <= RTT_MAX_S:
        return own
    dx_s, dy_s = own.x_s - other.x_s, own.y_s - other.y_s
    plane_s = hypot(dx_s, dy_s)
    expected_s = plane_s + own.height_s + other.height_s
    trust = own.error / max(own.error + other.error, 1e-6)
    relative = _within(abs(expected_s - rtt_s) / rtt_s, 0.0, ERROR_MAX)
    gain = GAIN * trust
    error = _within(relative * gain + own.error * (1 - gain), ERROR_UNIT, ERROR_MAX)
    step_s = _within(gain * (rtt_s - expected_s), -STEP_MAX_S, STEP_MAX_S)
    if plane_s < UNIT_S:  # in the same place: away in any direction
        dx_s, dy_s = random() - 0.5, random() - 0.5
        plane_s = hypot(dx_s, dy_s)
        if plane_s == 0.0:
            return own
    # The unit vector of height coordinates: the plane's part and both heights, over the distance.
    share = plane_s / (plane_s + own.height_s + other.height_s) if plane_s >= UNIT_S else 1.0
    pull_s = step_s * share
    x_s, y_s = own.x_s + pull_s * dx_s / plane_s, own.y_s + pull_s * dy_s / plane_s
    if not (-FAR_S <= x_s <= FAR_S and -FAR_S <= y_s <= FAR_S):
        x_s, y_s = _within(x_s, -FAR_S, FAR_S), _within(y_s, -FAR_S, FAR_S)
    height_s = _within(own.height_s + step_s * (1 - share), HEIGHT_MIN_S, HEIGHT_MAX * UNIT_S)
    return Coordinate(x_s, y_s, height_s, error)


def encode(place: Coordinate) -> bytes:
    """PLACE_BYTES bytes."""
    return b"".join(
        (
            _units(place.x_s, PLANE_MAX).to_bytes(2, "big", signed=True),
            _units(place.y_s, PLANE_MAX).to_bytes(2, "big", signed=True),
            max(0, _units(place.height_s, HEIGHT_MAX)).to_bytes(2, "big"),
            int(_within(place.error, 0.0, ERROR_MAX) / ERROR_UNIT).to_bytes(1, "big"),
        )
    )


@lru_cache(maxsize=1024)
def decode(data: bytes) -> Coordinate:
    """Whatever the bytes, it is a place; of another size, the origin."""
    if len(data) != PLACE_BYTES:
        return ORIGIN
    return Coordinate(
        x_s=int.from_bytes(data[0:2], "big", signed=True) * UNIT_S,
        y_s=int.from_bytes(data[2:4], "big", signed=True) * UNIT_S,
        height_s=max(HEIGHT_MIN_S, int.from_bytes(data[4:6], "big") * UNIT_S),
        error=_within(data[6] * ERROR_UNIT, ERROR_UNIT, ERROR_MAX),
    )


class Place:
    """Where we are, and where others were told that we are."""

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._told = ORIGIN
        self._told_s = float("-inf")
        self.own = ORIGIN
        self.moved = False
        """Since others were told, as far as `to_tell` has not looked; to be looked at only."""

    def measured(self, theirs: bytes, rtt_s: float) -> None:
        """A round trip to a member that says it is at `theirs`."""
        self.own = moved(self.own, decode(theirs), rtt_s, self._random)
        self.moved = True

    def expected_rtt_s(self, theirs: bytes) -> float | None:
        """The round trip to expect; None while we do not know where we are ourselves."""
        return self.own.rtt_s(decode(theirs)) if self.own.error < ERROR_USABLE else None

    def to_tell(self, now_s: float) -> bytes | None:
        """Our place, when others should know a new one: it costs bytes on every ping."""
        if now_s - self._told_s < TELL_EVERY_S:
            return None
        self.moved = False
        if self._told.moved_s(self.own) < TELL_MOVED_S:
            return None
        self._told, self._told_s = self.own, now_s
        return encode(self.own)


def _units(value_s: float, most: int) -> int:
    return round(_within(value_s / UNIT_S, -most, most))


def _within(value: float, low: float, high: float) -> float:
    if low <= value <= high:
        return value
    return low if value < low else high
