"""13 to 17: what is promised of blobs. The world has no blob plane of its own yet: its oracles join
BLOBS, and the world tells them through `sim.state.watch`. Deliberately not here: logs and views."""

from __future__ import annotations

from sim.oracles.model import Oracle

BLOBS: tuple[type[Oracle], ...] = ()
