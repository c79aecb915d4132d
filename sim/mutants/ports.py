"""Planted bugs of how a node uses its ports: disk, clock, timers and datagrams.

Deliberately not here: streams (`links`), the disk of logs and blobs (`replicas`, `blobs`), and bugs
of ports that a few runs did not show (tried: every choice of membership drawn alike, one run id for
all runs, links timed by the wall clock; repairs, keys and redials make up for them).
"""

from __future__ import annotations

from sim.mutants.plant import Edit, Mutant

EPOCH = "mesh.node.epoch"
PEERS = "mesh.node.peers_file"
GOSSIP = "mesh.node.gossip"


def _mutant(name: str, breaks: str, profiles: tuple[str, ...], oracle: str, *edits: Edit) -> Mutant:
    return Mutant(name, breaks, edits, profiles, (oracle,), nodes=4, world="mesh")


PORTS: tuple[Mutant, ...] = (
    _mutant(
        "epoch-not-synced",
        "the epoch of a start is written, and used before it is on the disk",
        ("calm",),
        "epoch-unkept",
        Edit(
            EPOCH,
            "store_epoch",
            "disk.write(EPOCH_FILE, str(epoch).encode())",
            "disk.remove(EPOCH_FILE)\n    disk.append(EPOCH_FILE, str(epoch).encode())",
        ),
    ),
    _mutant(
        "epoch-not-stored",
        "the epoch of a start is read from the disk, and the new one is not written",
        ("calm",),
        "epoch-unkept",
        Edit(EPOCH, "next_epoch", "store_epoch(disk, epoch)", "pass"),
    ),
    _mutant(
        "members-not-stored",
        "who is met is written down only by who stops in good order",
        ("calm",),
        "members-forgotten",
        Edit(
            GOSSIP,
            "Gossip._changed",
            "self._to_remember.set()",
            "pass",
        ),
    ),
    _mutant(
        "members-in-place",
        "the file of members is written in place, and not synced",
        ("crashes",),
        "members-forgotten",
        Edit(
            PEERS,
            "save_peers",
            "disk.write(PEERS_FILE,",
            "disk.remove(PEERS_FILE)\n    disk.append(PEERS_FILE,",
        ),
    ),
    _mutant(
        "only-the-reachable-stored",
        "who is out of reach is struck from the file of members",
        ("partitions",),
        "members-forgotten",
        Edit(
            PEERS,
            "save_peers",
            "if view.state != State.LEFT and",
            "if view.state <= State.SUSPECT and",
        ),
    ),
    _mutant(
        "wall-for-monotonic",
        "membership is timed by the wall clock",
        ("clocks",),
        "mail-unread",
        Edit(
            GOSSIP,
            "Gossip.__init__",
            "self._env = env",
            "from types import SimpleNamespace\n"
            "    clock = env.clock\n"
            "    self._env = attrs.evolve(env, clock=SimpleNamespace(\n"
            "        monotonic=clock.wall,\n"
            "        wall=clock.wall,\n"
            "        sleep_until=lambda at_s: clock.sleep_until(\n"
            "            at_s - clock.wall() + clock.monotonic()),\n"
            "        call_at=lambda at_s, fn: clock.call_at(\n"
            "            at_s - clock.wall() + clock.monotonic(), fn)))",
        ),
        Edit(GOSSIP, "Gossip._handle", "each.arrived_s", "now_s"),
    ),
    _mutant(
        "timer-not-moved",
        "a timer that is set stays, although something is due before it",
        ("loss", "calm"),
        "timer-late",
        Edit(GOSSIP, "Gossip._arm", "if due_s == self._timer_s:", "if self._timer_s:"),
    ),
    _mutant(
        "socket-not-drained",
        "a timer that fires late judges before the socket is read",
        ("starved",),
        "mail-unread",
        Edit(GOSSIP, "Gossip._fire", "waiting := self._port.take_waiting()", "waiting := []"),
    ),
    _mutant(
        "drained-for-nothing",
        "what a timer takes off the socket before it judges is thrown away",
        ("starved",),
        "mail-unread",
        Edit(GOSSIP, "Gossip._fire", "self._handle(waiting)", "pass"),
    ),
    _mutant(
        "arrival-ignored",
        "a datagram counts from when it was read, not from when it came",
        ("starved",),
        "mail-unread",
        Edit(GOSSIP, "Gossip._handle", "each.arrived_s", "now_s"),
    ),
    _mutant(
        "first-of-many",
        "of datagrams that come together only the first is looked at",
        ("starved",),
        "mail-unread",
        Edit(GOSSIP, "Gossip._handle", "for each in batch:", "for each in batch[:1]:"),
    ),
)
