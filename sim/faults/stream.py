"""Faults of streams: reset, refused, stalled, chopped, slow to be read.

Two targets are the two ends; one is a place. Only whole nodes have streams. In the real world:
nftables `reject with tcp reset`, policing, small windows. Deliberately not here: cuts and delays,
which hit streams and datagrams alike (`network`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.faults.model import WHOLE, Kind, Param, Undo, over
from sim.faults.network import together
from sim.net.roads import ANY
from sim.scenario.model import Fault

if TYPE_CHECKING:
    from sim.stage.base import Stage


def _reset(stage: Stage, fault: Fault) -> Undo:
    for node in fault.target:
        stage.network.reset_streams(stage.place(node), ANY)
    return over


def _reset_after(stage: Stage, fault: Fault) -> Undo:
    size = int(fault.number("size_bytes"))
    for node in fault.target:
        stage.network.reset_streams_after(stage.place(node), ANY, size_bytes=size)
    return over


def _half_close(stage: Stage, fault: Fault) -> Undo:
    source, destination = (stage.place(node) for node in fault.target[:2])
    stage.network.half_close_streams(source, destination)
    return over


def _refuse(stage: Stage, fault: Fault) -> Undo:
    return together(*(stage.network.refuse_streams(stage.place(n)).undo for n in fault.target))


def _stall(stage: Stage, fault: Fault) -> Undo:
    return together(*(stage.network.stall_handshakes(stage.place(n)).undo for n in fault.target))


def _slow_reader(stage: Stage, fault: Fault) -> Undo:
    rate = fault.number("rate")
    network = stage.network
    return together(
        *(network.read_slowly(stage.place(n), bytes_per_s=rate).undo for n in fault.target)
    )


def _chop(stage: Stage, fault: Fault) -> Undo:
    size = int(fault.number("size_bytes"))
    network = stage.network
    places = [stage.place(node) for node in fault.target]
    return together(*(network.chop_streams(place, ANY, size_bytes=size).undo for place in places))


def _narrow(stage: Stage, fault: Fault) -> Undo:
    size = int(fault.number("size_bytes"))
    network = stage.network
    places = [stage.place(node) for node in fault.target]
    return together(*(network.narrow_window(ANY, place, size_bytes=size).undo for place in places))


KINDS = (
    Kind(
        "stream_reset",
        "stream",
        "all connections of {who} are reset",
        _reset,
        targets=(1, 3),
        lasts=False,
        worlds=WHOLE,
    ),
    Kind(
        "stream_reset_after",
        "stream",
        "connections of {who} break after {size_bytes} more",
        _reset_after,
        (Param("size_bytes", 1, 100_000, "B", whole=True, log_scale=True),),
        targets=(1, 3),
        lasts=False,
        worlds=WHOLE,
    ),
    Kind(
        "stream_half_close",
        "stream",
        "{source} seems to have ended its streams to {destination}",
        _half_close,
        targets=(2, 2),
        lasts=False,
        worlds=WHOLE,
        real=False,
    ),
    Kind(
        "stream_refused",
        "stream",
        "connections to {who} are refused",
        _refuse,
        targets=(1, 3),
        worlds=WHOLE,
    ),
    Kind(
        "stream_stalled",
        "stream",
        "connections to {who} are accepted without a word",
        _stall,
        targets=(1, 3),
        worlds=WHOLE,
    ),
    Kind(
        "stream_slow_reader",
        "stream",
        "connections are read by {who} at {rate}",
        _slow_reader,
        (Param("rate", 500, 100_000, "B/s", log_scale=True),),
        targets=(1, 3),
        worlds=WHOLE,
        real=False,
    ),
    Kind(
        "stream_chopped",
        "stream",
        "what is sent by {who} arrives in pieces of {size_bytes}",
        _chop,
        (Param("size_bytes", 1, 64, "B", whole=True),),
        targets=(1, 3),
        worlds=WHOLE,
        real=False,
    ),
    Kind(
        "stream_narrow",
        "stream",
        "senders to {who} wait after every {size_bytes}",
        _narrow,
        (Param("size_bytes", 64, 8192, "B", whole=True),),
        targets=(1, 3),
        worlds=WHOLE,
        real=False,
    ),
)
