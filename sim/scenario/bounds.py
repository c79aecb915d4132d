"""How long things may take, in numbers: the liveness bounds of healed meshes.

They are SWIM's and Lifeguard's worst cases for the profile's constants, with the margins said here;
a scenario file carries them as the lengths of its phases. Deliberately not here: what must hold by
then (`sim.oracles.liveness`).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log2

from mesh.swim.config import LAN, LOOPBACK, WAN, SwimConfig

CONFIGS: Mapping[str, SwimConfig] = {"lan": LAN, "wan": WAN, "loopback": LOOPBACK}
MARGIN_S = 5.0
STATE_WARM_UP_S = 3.0
STATE_SETTLE_S = 40.0
"""Replicas are equal again: a link that was cut is there after a second, a question that was lost
is put anew after five, a body that nobody had after ten; each three times over."""


def detection_s(nodes: int, config: SwimConfig) -> float:
    """From a crash to everybody's verdict."""
    return config.detection_bound_s(nodes)


def reunion_s(nodes: int, config: SwimConfig) -> float:
    """From a heal to equal tables: each of the dead is tried again after its back-off, one per
    interval, and finding any one of a half brings the half; then repairs, pair by pair."""
    backoff_s = config.reconnect_backoff_max_s + 4 * config.reconnect_interval_s
    rounds = 2 + log2(max(2, nodes))
    return backoff_s + 4 * rounds * config.probe_interval_s


def warm_up_s(nodes: int, swim: str) -> float:
    """Everybody joins through node 0."""
    return round(MARGIN_S + 10 * CONFIGS[swim].probe_interval_s + nodes / 50, 1)


def settle_s(nodes: int, swim: str) -> float:
    """Old crimes are forgotten or settled, and all tables are equal."""
    config = CONFIGS[swim]
    return round(MARGIN_S + reunion_s(nodes, config) + detection_s(nodes, config), 1)


def canary_s(nodes: int, swim: str) -> float:
    """From a kill to everybody's knowing."""
    return round(MARGIN_S + detection_s(nodes, CONFIGS[swim]), 1)
