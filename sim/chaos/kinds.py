"""What this world can do, and why it cannot do the rest; asked before anything starts.

    WORLDS                        of whose files whole nodes can play the story
    missing(scenario, carrier)    {what: why}, empty when it can be played here
    why_not(carrier)              why this machine cannot play at all, or None

Deliberately not here: how (`stage`, `network`, `disks`, `bridge`).
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence

from mesh.errors import ChaosFailed
from sim.chaos import faketime, namespaces
from sim.chaos.commands import run
from sim.faults import KINDS
from sim.scenario.model import Scenario

CARRIERS = ("switch", "kernel")
WORLDS = frozenset({"mesh", "membership"})
"""Whole nodes have membership, with every kind of fault that it has alone. A file of replicas says
next to nothing about them: nobody steals keys and removes members of real nodes."""
NODES_MAX = 24
"""Processes of 40 MB that each want to run every few milliseconds."""

CUTS = frozenset({"one_way", "mute", "deaf", "isolate", "partition", "flapping", "no_multicast"})
BY_KERNEL = CUTS | {"loss", "corrupt", "bandwidth"}
"""What nftables and tbf do."""
BY_SWITCH = (
    CUTS
    | {"loss", "burst_loss", "delay", "jitter", "spikes", "duplicate", "reorder", "corrupt"}
    | {"truncate", "mtu", "bandwidth", "clog", "no_refusals"}
    | {"stream_reset", "stream_reset_after", "stream_refused", "stream_stalled"}
    | {"replay", "noise", "forgery", "false_refusal"}
)
BY_MACHINES = frozenset(
    {"crash", "power_cut", "host_down", "bounce", "freeze", "leave", "starve", "amnesia"}
    | {"old_disk", "disk_full", "disk_read_only", "disk_rot", "disk_tear"}
)
BY_FAKETIME = frozenset({"clock_ahead", "clock_behind", "clock_fast", "clock_slow"})
ON_IMAGES = frozenset({"power_cut", "disk_read_only"})
"""These need an ext4 image below the home of whom they hit; a tmpfs cannot do it."""

_NEEDS_DEVICE = "needs a disk that fails on purpose (device mapper or FUSE)"
_INSIDE = "would have to be done inside the program"
_NO_LEAF = "no node of this world has a leaf on a serial line"
WHY_NOT: Mapping[str, str] = {
    "small_buffers": _INSIDE,
    "stream_half_close": _INSIDE,
    "stream_slow_reader": _INSIDE,
    "stream_chopped": _INSIDE,
    "stream_narrow": _INSIDE,
    "liar": "a real member does not lie; the simulated one does",
    "disk_read_errors": _NEEDS_DEVICE,
    "disk_write_errors": _NEEDS_DEVICE,
    "disk_sync_errors": _NEEDS_DEVICE,
    "disk_slow_syncs": _NEEDS_DEVICE,
    "disk_slow_reads": _NEEDS_DEVICE,
    "disk_lies": _NEEDS_DEVICE,
    "serial_loss": _NO_LEAF,
    "serial_flips": _NO_LEAF,
    "serial_noise": _NO_LEAF,
    "serial_cut": _NO_LEAF,
    "serial_unplugged": _NO_LEAF,
    **dict.fromkeys(
        (
            *("equivocate", "remove", "twin", "lie", "flood", "checkpoint", "prune"),
            *("two_faces", "squeeze", "away", "feud", "readmit", "overuse", "steal"),
            "rewrite",
        ),
        "a fault of replicas; real nodes have no such switch",
    ),
}
"""Kinds that only the simulated world can do."""
REAL = BY_SWITCH | BY_MACHINES | BY_FAKETIME
assert not REAL & WHY_NOT.keys(), "a kind can be done, or there is a reason why not"

TOOLS: Mapping[str, Sequence[str]] = {
    "switch": ("ip", "mount", "umount"),
    "kernel": ("ip", "mount", "umount", "nft", "tc"),
}
IMAGE_TOOLS = ("mkfs.ext4", "cp")


def missing(scenario: Scenario, carrier: str) -> dict[str, str]:
    """Kinds and options of a scenario that cannot be had here, each with its reason."""
    found: dict[str, str] = {}
    for fault in scenario.faults:
        why = _why_not_kind(fault.kind, carrier)
        if why:
            found[fault.kind] = why
    if scenario.options.swim != "lan":
        found[f"swim {scenario.options.swim}"] = "real nodes run the profile lan"
    if scenario.nodes > NODES_MAX:
        found[f"{scenario.nodes} nodes"] = f"at most {NODES_MAX} processes"
    if carrier == "kernel" and _wants_latency(scenario):
        found["latency_s"] = "the kernel here delays nothing: use the switch"
    return found


def _wants_latency(scenario: Scenario) -> bool:
    return scenario.options.latency_s + scenario.options.jitter_s > 0.02


def _why_not_kind(kind: str, carrier: str) -> str:
    assert kind in KINDS, "the scenario was checked"
    if kind in WHY_NOT:
        return WHY_NOT[kind]
    if kind in BY_FAKETIME and faketime.library() is None:
        return f"needs libfaketime: install it, or set {faketime.VARIABLE}"
    if kind in ON_IMAGES:
        lacking = [tool for tool in IMAGE_TOOLS if shutil.which(tool) is None]
        return f"needs {', '.join(lacking)}" if lacking else ""
    if carrier == "kernel" and kind in BY_SWITCH - BY_KERNEL:
        return "only the switch can do it"
    return ""


def why_not(carrier: str) -> str | None:
    """Why nothing can be played here; it really tries to make a namespace."""
    if sys.platform != "linux":
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "only root can make network namespaces"
    lacking = [tool for tool in TOOLS[carrier] if shutil.which(tool) is None]
    if lacking:
        return f"{', '.join(lacking)} is not installed"
    if carrier == "switch" and not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "/dev/net/tun is not there"
    name = namespaces.name_of("probe")
    try:
        namespaces.add(name)
        if carrier == "kernel":
            _try_bridge(name)
    except ChaosFailed as error:
        return error.message()
    finally:
        namespaces.remove(name)
    return None


def _try_bridge(name: str) -> None:
    run("ip", "-n", name, "link", "add", "probe0", "type", "bridge")
    with namespaces.inside(name):
        run("nft", "add", "table", "bridge", "probe")


def wants_image(scenario: Scenario, node: int) -> bool:
    return any(fault.kind in ON_IMAGES and node in fault.target for fault in scenario.faults)


def wants_faked_clock(scenario: Scenario, node: int) -> bool:
    return any(fault.kind in BY_FAKETIME and node in fault.target for fault in scenario.faults)


def tools_to_install(carrier: str) -> str:
    """For a hint."""
    known = {"ip": "iproute2", "nft": "nftables", "tc": "iproute2"}
    names = {known.get(tool, "util-linux") for tool in TOOLS[carrier]}
    return ", ".join(sorted(names)) + (" and /dev/net/tun" if carrier == "switch" else "")
