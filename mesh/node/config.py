"""How one node was asked to be. Frozen; made once from the command line."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import attrs

from mesh.limits import (
    COPIES_DEFAULT,
    GIB,
    LOG_BUFFER_DEFAULT_HOURS,
    LOG_BUFFER_DEFAULT_MB,
)
from mesh.state.actions import TrustPolicy
from mesh.types import Address

CACHE_GB = 20
"""A cache that is worth having for the projects of one team, on disks as they are."""


@attrs.frozen
class NodeConfig:
    """Everything a node needs to know before it can look at its disk."""

    home: Path
    """Keys, records, stores and the control socket live below it."""

    name: str
    """What people call the node; unique in the mesh only after the roster's clash rule."""

    bind: Address
    """Address of the members' door; port 0 chooses one and keeps it for later starts."""

    slots: int = 1
    """Shards run at once; a real node is told the number of its cores."""

    discovery: str = "mdns"
    """`mdns`, or `none` for meshes that only know static addresses."""

    said: bytes = b""
    """The options the user gave, now or earlier, as `mesh.node.options` keeps them."""

    cache_bytes_max: int = CACHE_GB * GIB
    """The blob store is trimmed, least recently used first, when it has grown beyond this."""

    copies: int = COPIES_DEFAULT
    """On how many machines each result's files are kept, if there are that many."""

    trust: TrustPolicy = attrs.field(factory=TrustPolicy)
    """Whose results this node takes; the mesh's policy holds where it is stricter."""

    max_buffer_size_mb: int = LOG_BUFFER_DEFAULT_MB
    """Events of the mesh's log kept on this disk; see `mesh.log.retention`."""

    max_buffer_age_hours: float = LOG_BUFFER_DEFAULT_HOURS

    sandbox: str = "auto"
    """`auto`, `bwrap` or `plain`."""

    compilers_env: Mapping[str, str] | None = None
    """Where to find the compilers that are looked at before anybody builds; None: later."""

    profile: str = ""
    """Timing of membership: `lan`, `wan` or `loopback`; empty: by the address it is bound to."""


@attrs.frozen
class LinkConfig:
    """Timing and bounds of the links between members."""

    hello_timeout_s: float = 5.0
    """A stream on which no Hello arrives is closed."""

    dial_timeout_s: float = 5.0

    second_dialer_delay_s: float = 2.0
    """The member with the lower id dials; the other steps in after this long, for the case that
    only one direction is open."""

    redial_s: float = 0.5
    """First pause after a failed dial; doubles up to `redial_max_s`."""

    redial_max_s: float = 15.0

    request_timeout_s: float = 0.5
    """An answer that takes longer is treated as "does not know": the cache is a convenience."""

    request_silence_s: float = 5.0
    """A peer that did not answer in time is not asked again for this long."""

    ask_peers_max: int = 16
    """How many neighbours are asked for a result, nearest first."""

    outgoing_bytes_max: int = 64 * 1024 * 1024
    """A peer that lets this much pile up is cut off; its work runs elsewhere."""

    bulk_stall_s: float = 5.0
    """A bulk stream on which nothing at all arrives for this long is given up: its peer is frozen
    or gone, and other sources, or running the shard again, are quicker than waiting."""

    bulk_message_s: float = 10.0
    """The same for one whole message, a chunk of 256 KiB at most: a peer that drips bytes is no
    better than a frozen one. Links slower than 26 KB/s are not worth fetching over."""

    liar_shunned_s: float = 600.0
    """A peer that sent other bytes than the digest says is not asked again for this long; twice as
    long after the second time, and so on."""

    bulk_streams_max: int = 3
    """Per peer. Two large blobs at a time, and one that keeps small ones from waiting for them."""

    serve_bytes_per_s: int = 0
    """What serving blobs to others may take of the network in all; 0: as much as there is."""
