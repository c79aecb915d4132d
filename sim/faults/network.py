"""Faults of the network: what cables, switches and radios do to datagrams and streams.

Those with nodes as targets hit everything to and from them; without targets they hit every link.
Two targets of a one-way kind are its source and destination. In the real world: nftables, TAP
switch, link state. Deliberately not here: how a link does it (`sim.net`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.faults.model import WHOLE, Begin, Kind, Param, Undo
from sim.net.link import Constant, GilbertElliott, Spikes, Uniform
from sim.net.roads import ANY, MULTICAST
from sim.scenario.model import Fault

if TYPE_CHECKING:
    from sim.stage.base import Stage

SHARE = Param("chance", 0.005, 0.5, "%")


def together(*undos: Undo) -> Undo:
    """One undo for several."""

    def undo() -> None:
        for each in undos:
            each()

    return undo


def _degrading(**wanted: object) -> Begin:
    """A `begin` that degrades all links of the targets; callables get the fault."""

    def begin(stage: Stage, fault: Fault) -> Undo:
        changes = {
            name: value(fault) if callable(value) else value for name, value in wanted.items()
        }
        if not fault.target:
            return together(stage.network.degrade(ANY, ANY, **changes).undo)
        undos: list[Undo] = []
        for node in fault.target:
            place = stage.place(node)
            undos.append(stage.network.degrade(place, ANY, **changes).undo)
            undos.append(stage.network.degrade(ANY, place, **changes).undo)
        return together(*undos)

    return begin


def _chance(fault: Fault) -> float:
    return fault.number("chance")


def _one_way(stage: Stage, fault: Fault) -> Undo:
    source, destination = (stage.place(node) for node in fault.target[:2])
    return together(stage.network.cut(source, destination).undo)


def _mute(stage: Stage, fault: Fault) -> Undo:
    return together(*(stage.network.cut(stage.place(n), ANY).undo for n in fault.target))


def _deaf(stage: Stage, fault: Fault) -> Undo:
    return together(*(stage.network.cut(ANY, stage.place(n)).undo for n in fault.target))


def _isolate(stage: Stage, fault: Fault) -> Undo:
    return together(*(stage.network.isolate(stage.place(n)).undo for n in fault.target))


def _groups(stage: Stage, fault: Fault) -> list[list[str]]:
    inside = [stage.place(node) for node in fault.target]
    outside = [stage.place(n) for n in range(stage.size) if n not in fault.target]
    return [inside, outside]


def _partition(stage: Stage, fault: Fault) -> Undo:
    return together(stage.network.partition(_groups(stage, fault)).undo)


def _flapping(stage: Stage, fault: Fault) -> Undo:
    """A partition that comes and goes with a period."""
    half_s = fault.number("period_s") / 2
    now: list[Undo] = []
    over_at_s = stage.world.now_s + fault.for_s

    def turn() -> None:
        if now:
            now.pop()()
        elif stage.world.now_s < over_at_s:
            now.append(_partition(stage, fault))
        if stage.world.now_s + half_s <= over_at_s:
            timer[0] = stage.world.after(half_s, turn)

    timer = [stage.world.after(0.0, turn)]

    def undo() -> None:
        timer[0].cancel()
        while now:
            now.pop()()

    return undo


def _clog(stage: Stage, fault: Fault) -> Undo:
    places = [stage.place(node) for node in fault.target]
    undos = [stage.network.clog(place, ANY).undo for place in places]
    return together(*undos, *(stage.network.clog(ANY, place).undo for place in places))


def _mute_refusals(stage: Stage, fault: Fault) -> Undo:
    network = stage.network
    return together(*(network.silence_refusals(stage.place(n)).undo for n in fault.target))


def _small_buffers(stage: Stage, fault: Fault) -> Undo:
    count = int(fault.number("datagrams"))
    network = stage.network
    return together(
        *(network.small_buffers(stage.place(n), datagrams=count).undo for n in fault.target)
    )


def _no_multicast(stage: Stage, fault: Fault) -> Undo:
    cut = stage.network.isolate
    return together(*(cut(stage.place(n), MULTICAST).undo for n in fault.target))


def _latency(fault: Fault) -> Constant:
    return Constant(fault.number("delay_s"))


def _uniform(fault: Fault) -> Uniform:
    return Uniform(0.0, fault.number("jitter_s"))


def _spikes(fault: Fault) -> Spikes:
    return Spikes(0.002, 0.001, fault.number("chance"), fault.number("spike_s"))


def _burst(fault: Fault) -> GilbertElliott:
    length = fault.number("length")
    share = fault.number("chance")
    return GilbertElliott(to_bad=share / length / (1 - share), to_good=1 / length)


KINDS = (
    Kind(
        "loss",
        "network",
        "{chance} of the datagrams of {who} are lost",
        _degrading(loss=_chance),
        (SHARE,),
        targets=(0, 3),
    ),
    Kind(
        "burst_loss",
        "network",
        "{who}: {chance} are lost, in bursts of about {length}",
        _degrading(burst=_burst),
        (Param("chance", 0.01, 0.4, "%"), Param("length", 2, 50)),
        targets=(0, 3),
    ),
    Kind(
        "delay",
        "network",
        "packets of {who} take {delay_s}",
        _degrading(latency=_latency),
        (Param("delay_s", 0.005, 2.0, "s", log_scale=True),),
        targets=(0, 3),
    ),
    Kind(
        "jitter",
        "network",
        "packets of {who} take up to {jitter_s}, each its own time",
        _degrading(latency=_uniform),
        (Param("jitter_s", 0.005, 1.0, "s", log_scale=True),),
        targets=(0, 3),
    ),
    Kind(
        "spikes",
        "network",
        "{chance} of the packets of {who} are {spike_s} late",
        _degrading(latency=_spikes),
        (Param("chance", 0.01, 0.3, "%"), Param("spike_s", 0.1, 3.0, "s")),
        targets=(0, 3),
    ),
    Kind(
        "duplicate",
        "network",
        "{chance} of the datagrams of {who} arrive twice",
        _degrading(duplication=_chance),
        (SHARE,),
        targets=(0, 3),
    ),
    Kind(
        "reorder",
        "network",
        "{chance} of the datagrams of {who} overtake others",
        _degrading(reordering=_chance),
        (SHARE,),
        targets=(0, 3),
    ),
    Kind(
        "corrupt",
        "network",
        "{chance} of the datagrams of {who} arrive with flipped bits",
        _degrading(corruption=_chance),
        (SHARE,),
        targets=(0, 3),
    ),
    Kind(
        "truncate",
        "network",
        "{chance} of the datagrams of {who} lose their end",
        _degrading(truncation=_chance),
        (SHARE,),
        targets=(0, 3),
    ),
    Kind(
        "mtu",
        "network",
        "the links of {who} carry at most {size_bytes}",
        _degrading(mtu_bytes=lambda fault: int(fault.number("size_bytes"))),
        (Param("size_bytes", 120, 1400, "B", whole=True),),
        targets=(0, 3),
    ),
    Kind(
        "bandwidth",
        "network",
        "{who}: a thin cable of {rate} with a queue of {queue_bytes} before it",
        _degrading(
            bandwidth_bytes_per_s=lambda fault: fault.number("rate"),
            queue_bytes=lambda fault: int(fault.number("queue_bytes")),
        ),
        (
            Param("rate", 2_000, 200_000, "B/s", log_scale=True),
            Param("queue_bytes", 3_000, 1_000_000, "B", whole=True, log_scale=True),
        ),
        targets=(1, 3),
    ),
    Kind(
        "clog",
        "network",
        "what goes from and to {who} is held back, then let go at once",
        _clog,
        targets=(1, 3),
    ),
    Kind(
        "one_way",
        "network",
        "{destination} hears nothing from {source} (the other way works)",
        _one_way,
        targets=(2, 2),
    ),
    Kind("mute", "network", "nobody hears {who}", _mute, targets=(1, 3)),
    Kind("deaf", "network", "nothing reaches {who}", _deaf, targets=(1, 3)),
    Kind("isolate", "network", "the cable of {who} is pulled", _isolate, targets=(1, 3)),
    Kind(
        "partition",
        "network",
        "the mesh is cut in two: {who} on one side",
        _partition,
        targets=(1, 1000),
    ),
    Kind(
        "flapping",
        "network",
        "{who} and the rest are cut apart and joined every {period_s}",
        _flapping,
        (Param("period_s", 1.0, 20.0, "s"),),
        targets=(1, 1000),
    ),
    Kind(
        "no_refusals",
        "network",
        "a firewall on {who}: closed ports answer nothing",
        _mute_refusals,
        targets=(1, 3),
    ),
    Kind(
        "small_buffers",
        "network",
        "the socket buffers of {who} hold {datagrams}",
        _small_buffers,
        (Param("datagrams", 1, 16, "datagram", whole=True, units="datagrams"),),
        targets=(1, 3),
        real=False,
    ),
    Kind(
        "no_multicast",
        "network",
        "mDNS does not reach {who}",
        _no_multicast,
        targets=(1, 3),
        worlds=WHOLE,
    ),
)
