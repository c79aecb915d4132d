"""Carrier `kernel`: a bridge in a hub namespace; nftables and tbf do what they do better.

The rules of `sim.net.roads` are compiled to one ruleset for all directed pairs, and loaded as one
transaction whenever one of them changes: any partition appears and disappears at one moment. Pairs
that are cut are elements of a set; loss and corruption are a rule each; a bandwidth is a token
bucket at the bridge's port to the receiver and at the sender's device. Deliberately not here:
delay, reordering and whatever else a kernel without netem cannot do (`kinds` says so).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sim.chaos import namespaces
from sim.chaos.cables import DEVICE, device_commands
from sim.chaos.commands import attempt, batch, run
from sim.chaos.network import ChaosNetwork
from sim.chaos.switch import Port
from sim.net.roads import ANY, DATAGRAMS, MULTICAST, STREAMS, Road

TABLE = "vitte"
PER_MILLE = 1000
BURST_BYTES = 1600
"""A token bucket must let at least one frame through."""
DATA_BITS = 64 + 8 * 24
"""Where corruption strikes: behind the UDP header, within the sealed part of a datagram."""


class Bridge:
    """The hub and its rules."""

    failure: BaseException | None = None
    """A kernel's bridge does not fail as a thread does."""

    def __init__(self, network: ChaosNetwork, names: Sequence[str]) -> None:
        self._network = network
        self._names = names
        self._ports = network.switch.ports
        self._hub = namespaces.name_of("hub")
        self._shaped: dict[str, float] = {}
        self._open = False
        network.on_change.append(self._load)

    def open(self) -> None:
        """Raises ChaosFailed."""
        namespaces.add(self._hub)
        bridge = "type bridge mcast_snooping 0 stp_state 0 forward_delay 0"
        batch([f"link add br0 {bridge}", "link set br0 up"], "-n", self._hub)
        for name, port in zip(self._names, self._ports, strict=True):
            end = f"p{port.number}"
            run(
                "ip",
                "link",
                "add",
                DEVICE,
                "netns",
                name,
                "type",
                "veth",
                "peer",
                "name",
                end,
                "netns",
                self._hub,
            )
            batch([f"link set {end} master br0 up"], "-n", self._hub)
            batch(device_commands(port), "-n", name)
            # Checksums that the sender leaves to a card would be those that corruption meets.
            attempt("ip", "netns", "exec", name, "ethtool", "-K", DEVICE, "tx", "off")
        self._open = True
        self._load()

    def close(self) -> None:
        self._open = False
        namespaces.remove(self._hub)

    # -- rules -----------------------------------------------------------------------------------
    def _load(self) -> None:
        if not self._open:
            return
        with self._network.lock:
            text = "\n".join(ruleset(self._ports, self._network))
            shaped = self._bandwidths()
        with namespaces.inside(self._hub):
            run("nft", "-f", "-", stdin=text)
        self._shape(shaped)

    def _bandwidths(self) -> dict[str, float]:
        """Hosts that have a thin cable -> bytes a second."""
        found: dict[str, float] = {}
        for port in self._ports:
            for road in (self._road(ANY, port.host), self._road(port.host, ANY)):
                rate = road.link.bandwidth_bytes_per_s
                if rate is not None:
                    found[port.host] = min(rate, found.get(port.host, rate))
        return found

    def _road(self, source: str, destination: str) -> Road:
        return self._network.roads.road(source, destination)

    def _shape(self, wanted: dict[str, float]) -> None:
        """Token buckets on both sides of the cables of those hosts, and of no others."""
        for port in self._ports:
            rate = wanted.get(port.host)
            if rate == self._shaped.get(port.host):
                continue
            queue = self._road(port.host, ANY).link.queue_bytes
            for name, device in (
                (self._names[port.number], DEVICE),
                (self._hub, f"p{port.number}"),
            ):
                attempt("tc", "-n", name, "qdisc", "del", "dev", device, "root")
                if rate is not None:
                    limits = f"rate {max(1, int(rate))}bps burst {BURST_BYTES} limit {queue}"
                    run(
                        "tc",
                        "-n",
                        name,
                        "qdisc",
                        "add",
                        "dev",
                        device,
                        "root",
                        "tbf",
                        *limits.split(),
                    )
        self._shaped = wanted


def ruleset(ports: Sequence[Port], network: ChaosNetwork) -> Iterator[str]:
    """The whole table, as `nft -f` takes it: what was there before is replaced at one moment."""
    cut, deaf, rules = set[str](), set[str](), list[str]()
    for one in ports:
        for other in ports:
            if one is other:
                continue
            pair = f"{one.host} . {other.host}"
            unpowered = {one.host, other.host} & network.switch.unpowered
            road = network.roads.road(one.host, other.host)
            if unpowered or road.blocked & (DATAGRAMS | STREAMS):
                cut.add(pair)
            if unpowered or road.blocked & MULTICAST:
                deaf.add(f'"p{one.number}" . "p{other.number}"')
            rules += _pair_rules(one.host, other.host, road)
    yield f"add table bridge {TABLE}"
    yield f"delete table bridge {TABLE}"
    yield f"table bridge {TABLE} {{"
    yield _set_of("cut", "ipv4_addr . ipv4_addr", cut)
    yield _set_of("deaf", "ifname . ifname", deaf)
    yield "chain pass { type filter hook forward priority 0; policy accept;"
    yield "ip saddr . ip daddr @cut drop"
    yield "ip daddr 224.0.0.0/4 iifname . oifname @deaf drop"
    yield from rules
    yield "}"
    yield "}"


def _set_of(name: str, kind: str, elements: set[str]) -> str:
    listed = f" elements = {{ {', '.join(sorted(elements))} }}" if elements else ""
    return f"set {name} {{ type {kind};{listed} }}"


def _pair_rules(source: str, destination: str, road: Road) -> Iterator[str]:
    way = f"ip saddr {source} ip daddr {destination}"
    loss = round(road.link.loss * PER_MILLE)
    corruption = round(road.link.corruption * PER_MILLE)
    if loss:
        yield f"{way} numgen random mod {PER_MILLE} < {loss} drop"
    if corruption:
        chance = f"numgen random mod {PER_MILLE} < {corruption}"
        yield f"{way} ip protocol udp {chance} @th,{DATA_BITS},8 set 0x5a"
        yield f"{way} ip protocol tcp {chance} drop"
