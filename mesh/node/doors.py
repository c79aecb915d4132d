"""The ports a node listens on: one number to remember.

    P    TCP  the members' door       P    UDP  membership
    P+1  TCP  the join door

On loopback, where many nodes live side by side, any free number is as good as another.

The number is DEFAULT_PORT unless the user asked for another or it is taken; once chosen it is kept
for later starts, so that others find the node where they left it.
"""

from __future__ import annotations

import attrs
import trio

from mesh.errors import AddressInUse
from mesh.ports import Env, Listener, TrustStore
from mesh.types import Address, is_loopback

DEFAULT_PORT = 7446
PORT_FILE = "port"
TRIES_MAX = 32
PORT_MAX = 65_534


@attrs.frozen
class Doors:
    """Both listeners, open. The UDP port `peer.address[1]` was free a moment ago."""

    peer: Listener
    join: Listener

    @property
    def port(self) -> int:
        return self.peer.address[1]

    async def aclose(self) -> None:
        """Close what nobody came to serve, or serves no more; for the next start they are free."""
        with trio.CancelScope(shield=True):
            await self.peer.aclose()
            await self.join.aclose()


async def open_doors(env: Env, bind: Address, trust: TrustStore) -> Doors:
    """Listen at `bind`. Port 0 chooses; a port that was asked for and is taken is AddressInUse."""
    host, asked = bind
    if asked:
        return await _open(env, (host, asked), trust)
    kept = (env.disk.read(PORT_FILE) or b"").decode("ascii", "replace")
    first = int(kept) if kept.isdigit() else 0 if is_loopback(host) else DEFAULT_PORT
    last: AddressInUse | None = None
    for port in [first, *[0] * TRIES_MAX]:
        try:
            doors = await _open(env, (host, port), trust)
        except AddressInUse as error:
            last = error
            continue
        env.disk.write(PORT_FILE, str(doors.port).encode())
        return doors
    assert last is not None
    raise last


async def _open(env: Env, bind: Address, trust: TrustStore) -> Doors:
    if bind[1] > PORT_MAX:
        raise AddressInUse(host=bind[0], port=bind[1], why="the join door needs the port after it")
    peer = await env.streams.listen(bind, trust)
    host, port = bind[0], peer.address[1]
    try:
        (await env.datagrams.open((host, port))).close()
        join = await env.streams.listen_join((host, port + 1), trust)
    except BaseException:
        await peer.aclose()
        raise
    return Doors(peer, join)


async def check_bind(env: Env, bind: Address) -> None:
    """Raise AddressInUse when nothing could be opened at `bind`; opens nothing for good."""
    (await env.datagrams.open(bind)).close()


def join_door(address: Address) -> Address:
    """Where strangers knock, given a member's address."""
    return address[0], address[1] + 1


def parse_host(text: str, default_port: int = DEFAULT_PORT) -> Address:
    """`HOST`, `HOST:PORT` or `[IPV6]:PORT` as a member's address. Raises ValueError."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":")
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    else:
        host, port = text, ""
    number = int(port) if port else default_port
    if not host or not 0 < number <= PORT_MAX:
        raise ValueError(text)
    return host, number
