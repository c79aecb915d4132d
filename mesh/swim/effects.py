"""What the core tells its driver to do, and how it shows a member.

All frozen: a driver can keep, compare and record them. Deliberately not here: anything about
sealing (that is `endpoint`) or sockets.
"""

from __future__ import annotations

from enum import Enum, IntEnum

import attrs

from mesh.types import Address, NodeId
from mesh.wire.messages import Load
from mesh.wire.straight import quick

NO_LOAD = Load(slots=0, busy=0, queued=0, cpu_percent=0, memory_free_mib=0)


class State(IntEnum):
    """Ordered: at the same epoch and incarnation, the greater one wins."""

    ALIVE = 0
    SUSPECT = 1
    UNREACHABLE = 2
    """Silent for longer than suspicion lasts, but not enough of its observers say so: our own
    opinion, told to nobody. Not to be used, and tried again for ever."""
    DEAD = 3
    LEFT = 4


LEFT, SUSPECT = State.LEFT, State.SUSPECT
"""For what is asked at every datagram: Python 3.11 takes 0.2 us to find a member of an enum."""


class PathTrouble(Enum):
    """What is wrong with the way of datagrams to a member, or with ourselves; see `paths`."""

    NONE = ""
    OUT = "out"
    """It is heard, but does not hear us."""
    SILENT = "silent"
    """It lives, as its stream or others say, but no datagram gets through."""
    MUTE = "mute"
    """Ourselves: others are heard, and none of them hears us."""
    DEAF = "deaf"
    """Ourselves: nobody is heard at all."""


NO_TROUBLE = PathTrouble.NONE


@attrs.frozen
class SelfInfo:
    """How we present ourselves."""

    node_id: NodeId
    epoch: int
    """Greater than at any earlier start of this node; see `mesh.node.epoch`."""
    host: str
    """IP literal that others should use; empty: where our datagrams come from."""
    swim_port: int
    peer_port: int
    join_port: int
    load: Load = NO_LOAD


@quick
@attrs.frozen
class MemberView:
    """One member as this node sees it."""

    node_id: NodeId
    state: State
    since_s: float
    """Monotonic time at which it entered the state, as seen here."""
    epoch: int
    incarnation: int
    address: Address
    """Where its datagrams go: (host, swim port)."""
    peer_port: int
    join_port: int
    load: Load
    rtt_s: float | None
    """Smoothed round trip of direct pings; before the first ack what coordinates let expect, or
    None."""
    path: PathTrouble = PathTrouble.NONE
    """Of ourselves: our own trouble."""
    unstable: bool = False
    """It came and went so often that its return is not reported yet."""

    @property
    def reachable(self) -> bool:
        """Alive, or only suspected: worth talking to."""
        return self.state in (State.ALIVE, State.SUSPECT)


@quick
@attrs.frozen
class At:
    """Where a datagram came from, and when."""

    source: Address
    arrived_s: float
    """When this machine received it; it may be read later."""


@quick
@attrs.frozen
class SendDatagram:
    """Seal `payload` for `node` and send it to `address`."""

    node: NodeId
    address: Address
    payload: bytes


@attrs.frozen
class AskStream:
    """Datagrams do not reach it: ask it over its stream, and tell `heard` when it answers."""

    node: NodeId


@quick
@attrs.frozen
class MemberChanged:
    """A member is new (`previous_state` None), changed state, epoch or address, or reports another
    load (then `previous_state` is the present one). A member struck off the roster is shown LEFT a
    last time."""

    view: MemberView
    previous_state: State | None


Effect = SendDatagram | AskStream | MemberChanged
