"""What a node was started with, kept in its home: a start after a reboot needs no options again.

Only what the user said is kept, never a default: those may become better.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from mesh.limits import K_ATTEST_MAX
from mesh.ports import Disk
from mesh.state.actions import TrustPolicy
from mesh.state.events import Trust

OPTIONS_FILE = "options.json"
NAMES = (
    *("bind", "name", "slots", "discovery", "sandbox", "profile", "cache_gb", "trust"),
    *("copies", "max_buffer_size_mb", "max_buffer_age_hours"),
)

TRUSTS = {"any": Trust.ANY_BUILDER, "own": Trust.OWN}
Options = dict[str, str | int]


def recall(disk: Disk) -> Options:
    """The options of earlier starts; none when there is no file or it is damaged."""
    try:
        stored = json.loads(disk.read(OPTIONS_FILE) or b"")
    except (OSError, ValueError):
        return {}
    if not isinstance(stored, dict):
        return {}
    return {name: stored[name] for name in NAMES if isinstance(stored.get(name), str | int)}


def combine(earlier: Options, given: Mapping[str, str | int | None]) -> Options:
    """What is said now goes before what was said earlier."""
    said = {name: value for name, value in given.items() if value is not None}
    return {**earlier, **said}


def trust_policy(text: str) -> TrustPolicy:
    """`own`, `any`, or how many builders must agree. Raises ValueError."""
    if text in TRUSTS:
        return TrustPolicy(TRUSTS[text])
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= K_ATTEST_MAX:
        raise ValueError(text)
    return TrustPolicy(Trust.K_BUILDERS, int(text))


def encode(options: Options) -> bytes:
    return (json.dumps(options, sort_keys=True) + "\n").encode()
