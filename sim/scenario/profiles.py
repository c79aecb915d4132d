"""Profiles: what kind of bad day it is. A seed and a profile make a scenario.

Swarm testing (Groce et al., "Swarm Testing", ISSTA 2012): each seed enables a random subset of the
profile's kinds and draws a rate for it, because a run with a bit of everything never gets deep into
anything. Only `random()` is drawn from, so a seed means the same on every Python.
Deliberately not here: the kinds themselves (`sim.faults`).
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from random import Random

import attrs

from sim.faults import KINDS, possible
from sim.faults.model import Kind
from sim.faults.state import ALSO_STATE
from sim.scenario.bounds import STATE_SETTLE_S, STATE_WARM_UP_S, canary_s, settle_s, warm_up_s
from sim.scenario.files import stamped
from sim.scenario.model import BadScenario, Fault, Options, Phases, Scenario, Workload

FAULTS_DRAWN_MAX = 60


@attrs.frozen
class Profile:
    """Which kinds, how many, how long."""

    words: str
    groups: tuple[str, ...] = ()
    """Fault groups, all kinds of which may happen."""
    kinds: tuple[str, ...] = ()
    """Single kinds, besides those."""
    faults: tuple[int, int] = (1, 20)
    chaos_s: float = 60.0
    lasts_s: tuple[float, float] = (1.0, 20.0)
    loss: float = 0.0
    """Of every datagram, all the time."""
    world: str = ""
    """The only one in which it can be played; empty: any that knows its kinds."""

    def kinds_in(self, world: str) -> list[Kind]:
        able = [KINDS[name] for name in possible(world)]
        return [kind for kind in able if kind.group in self.groups or kind.name in self.kinds]


_LINKS = ("loss", "burst_loss", "delay", "jitter", "spikes", "duplicate", "reorder", "corrupt")
_CUTS = ("one_way", "mute", "deaf", "isolate", "partition", "flapping", "clog")
PROFILES: Mapping[str, Profile] = {
    "calm": Profile("nothing goes wrong", faults=(0, 0)),
    "mild": Profile("a network that loses two of a hundred", faults=(0, 0), loss=0.02, chaos_s=120),
    "pairs": Profile("some cannot hear some others", kinds=("one_way",), faults=(1, 3)),
    "loss": Profile("lossy, slow and reordering links", kinds=(*_LINKS, "truncate", "bandwidth")),
    "partitions": Profile("cuts, one-way links, flapping", kinds=_CUTS, lasts_s=(2.0, 40.0)),
    "crashes": Profile(
        "processes and machines die and come back",
        kinds=("crash", "host_down", "bounce", "leave", "power_cut", "no_refusals"),
    ),
    "starved": Profile("no processor time: late reads, stops", kinds=("starve", "freeze")),
    "clocks": Profile("wall clocks jump, clocks drift", groups=("clock",), kinds=("starve",)),
    "disks": Profile(
        "full, slow, lying and rotting disks", groups=("disk",), kinds=("power_cut", "amnesia")
    ),
    "streams": Profile("connections reset, stalled, slow", groups=("stream",), kinds=("isolate",)),
    "hostile": Profile(
        "somebody repeats, forges and invents datagrams", groups=("hostile",), kinds=("bounce",)
    ),
    "liars": Profile("a member that lies", kinds=("liar",), faults=(1, 2), lasts_s=(10.0, 40.0)),
    "serial": Profile("bad serial lines", groups=("serial",)),
    "builds": Profile(
        "machines come and go while builds run",
        kinds=("crash", "bounce", "freeze", "partition", "loss", "stream_reset", "starve"),
    ),
    "state": Profile(
        "replicas of the log: bad links, dying disks, stolen keys, liars, removals",
        groups=("state",),
        kinds=tuple(sorted(ALSO_STATE)),
        faults=(1, 12),
        chaos_s=12.0,
        lasts_s=(0.5, 6.0),
        world="state",
    ),
    "state-keys": Profile(
        "replicas whose keys are stolen and whose disks are copied",
        kinds=(
            *("equivocate", "two_faces", "remove", "steal", "twin", "old_disk", "isolate"),
            *("checkpoint", "prune", "rewrite"),
        ),
        faults=(1, 6),
        chaos_s=12.0,
        lasts_s=(0.5, 6.0),
        world="state",
    ),
    "state-roster": Profile(
        "replicas whose admins fall out, and whose invites are used too often",
        kinds=("remove", "feud", "readmit", "overuse", "old_disk", "isolate", "partition"),
        faults=(1, 6),
        chaos_s=12.0,
        lasts_s=(0.5, 6.0),
        world="state",
    ),
    "state-gaps": Profile(
        "replicas that lose bodies while those who have them are out of reach",
        kinds=("disk_rot", "amnesia", "isolate", "lie", "bounce"),
        faults=(4, 12),
        chaos_s=12.0,
        lasts_s=(0.5, 6.0),
        world="state",
    ),
    "state-disks": Profile(
        "replicas with liars, clearing up, full and rotting disks and wrong clocks",
        kinds=(
            *("lie", "checkpoint", "prune", "squeeze", "away", "isolate"),
            *("amnesia", "disk_full", "disk_rot", "clock_ahead"),
        ),
        faults=(2, 8),
        chaos_s=12.0,
        lasts_s=(0.5, 6.0),
        world="state",
    ),
    "state-full": Profile(
        "replicas whose disks are full, or fail to write, for long",
        kinds=("disk_full", "disk_write_errors", "isolate", "bounce"),
        faults=(2, 6),
        chaos_s=18.0,
        lasts_s=(6.0, 16.0),
        world="state",
    ),
    "everything": Profile(
        "all of it",
        groups=("network", "stream", "node", "clock", "disk", "serial", "hostile"),
        faults=(4, 30),
    ),
}


@attrs.frozen
class Wish:
    """What to draw a scenario from."""

    seed: int
    profile: str = "everything"
    nodes: int = 8
    world: str = "membership"
    swim: str = "lan"
    hours: float | None = None
    """Length of the chaos; None: the profile's."""


def draw(wish: Wish) -> Scenario:
    """The scenario of a seed. Raises BadScenario for a profile there is not, or one that this world
    cannot do."""
    if wish.profile not in PROFILES:
        raise BadScenario(("profile",), f"must be one of {', '.join(PROFILES)}")
    profile = PROFILES[wish.profile]
    wish = attrs.evolve(wish, world=profile.world or wish.world)
    kinds = profile.kinds_in(wish.world)
    if profile.faults[1] and not kinds:
        raise BadScenario(("profile",), f"{wish.profile} needs whole nodes: world mesh")
    key = sha256(f"scenario {wish.seed} {wish.profile}".encode()).digest()
    rng = Random(int.from_bytes(key, "big"))  # noqa: S311 (must be repeatable)
    phases = _phases(wish, profile)
    base = Scenario(
        seed=wish.seed,
        nodes=wish.nodes,
        profile=wish.profile,
        world=wish.world,
        phases=phases,
        workload=Workload(runs=2, shards=6) if wish.world == "mesh" else Workload(),
        options=Options(swim=wish.swim, loss=profile.loss),
    )
    return stamped(base.with_faults(_faults(rng, profile, base)))


def file_name(wish: Wish) -> str:
    """Of the scenario that is drawn: another for every other wish."""
    world = PROFILES[wish.profile].world or wish.world
    parts = [wish.profile, world, f"{wish.nodes}n"]
    if wish.swim != "lan":
        parts.append(wish.swim)
    if wish.hours is not None:
        parts.append(f"{wish.hours:g}h")
    return f"{'-'.join(parts)}-{wish.seed}.json"


def _phases(wish: Wish, profile: Profile) -> Phases:
    chaos_s = profile.chaos_s if wish.hours is None else wish.hours * 3600
    if wish.world == "state":
        return Phases(STATE_WARM_UP_S, chaos_s, STATE_SETTLE_S, 0.0)
    return Phases(
        warm_up_s=warm_up_s(wish.nodes, wish.swim),
        chaos_s=chaos_s,
        settle_s=settle_s(wish.nodes, wish.swim),
        canary_s=canary_s(wish.nodes, wish.swim) if wish.nodes > 1 else 0.0,
    )


def _faults(rng: Random, profile: Profile, base: Scenario) -> list[Fault]:
    kinds = profile.kinds_in(base.world)
    if not profile.faults[1]:
        return []
    enabled = [kind for kind in kinds if rng.random() < 0.5] or [kinds[0]]
    weights = [rng.random() + 0.1 for _ in enabled]
    low, high = profile.faults
    hours = max(1.0, base.phases.chaos_s / 600)
    count = min(int((low + rng.random() * (high - low + 1)) * hours), int(FAULTS_DRAWN_MAX * hours))
    faults = [_fault(rng, _pick(rng, enabled, weights), profile, base) for _ in range(count)]
    return sorted(faults, key=lambda fault: (fault.at_s, fault.kind, fault.target))


def _pick(rng: Random, kinds: list[Kind], weights: list[float]) -> Kind:
    mark = rng.random() * sum(weights)
    for kind, weight in zip(kinds, weights, strict=True):
        mark -= weight
        if mark <= 0:
            return kind
    return kinds[-1]


def _fault(rng: Random, kind: Kind, profile: Profile, base: Scenario) -> Fault:
    phases = base.phases
    at_s = phases.warm_up_s + rng.random() * phases.chaos_s * 0.9
    low_s, high_s = profile.lasts_s
    for_s = min(low_s + rng.random() * (high_s - low_s), phases.heal_s - at_s)
    fault = kind.draw(rng, base.nodes, at_s, for_s)
    if kind.name in ("partition", "flapping"):  # neither side empty, often an even cut
        half = [node for node in range(base.nodes) if rng.random() < 0.5] or [0]
        fault = attrs.evolve(fault, target=tuple(half[: max(1, base.nodes - 1)]))
    return fault
