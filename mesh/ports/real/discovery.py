"""`Discovery` by mDNS / DNS-SD (RFC 6762, RFC 6763) with zeroconf, and one that finds nothing.

    <name>-<node>._vitte-mesh._tcp.local.   SRV host:pp   TXT v mesh meshname node pp jp sp

Rules: only the interfaces named to the constructor are touched, never all by default; zeroconf runs
in its own threads and is imported only when first used, because it costs a node that does not need
it 0.2 s and 10 MB; what is found is parsed strictly, and trusted for nothing but an address to try.
Not here: who is a member, and joining.
"""

from __future__ import annotations

import ipaddress
import logging
import threading
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import trio

from mesh.limits import DISCOVERY_QUEUE_MAX, NAME_BYTES_MAX
from mesh.ports import Announcement

if TYPE_CHECKING:
    from zeroconf import ServiceInfo, Zeroconf

SERVICE = "_vitte-mesh._tcp.local."
VERSION = "1"
LABEL_BYTES_MAX = 63
PREFIX_DIGITS = 16
RESOLVE_TIMEOUT_MS = 3000

_log = logging.getLogger(__name__)


class StaticDiscovery:
    """Announces nothing and finds nothing, for meshes that only know addresses."""

    @asynccontextmanager
    async def announce(self, what: Announcement) -> AsyncIterator[None]:  # noqa: ARG002
        await trio.lowlevel.checkpoint()
        yield

    @asynccontextmanager
    async def browse(self) -> AsyncIterator[AsyncIterator[Announcement]]:
        await trio.lowlevel.checkpoint()
        sender, receiver = trio.open_memory_channel[Announcement](0)
        async with sender, receiver:  # open and silent: iterating waits
            yield receiver


class ZeroconfDiscovery:
    """mDNS on the given interfaces (their IP addresses). One zeroconf instance, shared by all
    announcements and browsers, alive while there is any."""

    def __init__(self, interfaces: Sequence[str]) -> None:
        assert interfaces, "name the interfaces, or use StaticDiscovery"
        self._interfaces = list(interfaces)
        self._lock = threading.Lock()
        self._users = 0
        self._zeroconf: Zeroconf | None = None
        self.counters: Counter[str] = Counter()
        """Announcements dropped: reason -> count."""

    @asynccontextmanager
    async def announce(self, what: Announcement) -> AsyncIterator[None]:
        zeroconf = await trio.to_thread.run_sync(self._acquire)
        try:
            info = service_info(what)
            await trio.to_thread.run_sync(
                lambda: zeroconf.register_service(info, allow_name_change=True)
            )
            try:
                yield
            finally:
                with trio.CancelScope(shield=True):  # say goodbye, also when cancelled
                    await trio.to_thread.run_sync(zeroconf.unregister_service, info)
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._release)

    @asynccontextmanager
    async def browse(self) -> AsyncIterator[AsyncIterator[Announcement]]:
        token = trio.lowlevel.current_trio_token()
        sender, receiver = trio.open_memory_channel[Announcement](DISCOVERY_QUEUE_MAX)

        def offer(found: Announcement) -> None:  # in trio's thread
            try:
                sender.send_nowait(found)
            except trio.WouldBlock:
                self.counters["queue-full"] += 1
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self.counters["after-close"] += 1

        def deliver(found: Announcement) -> None:  # in the browser's thread
            try:
                token.run_sync_soon(offer, found)
            except trio.RunFinishedError:
                self.counters["after-close"] += 1

        zeroconf = await trio.to_thread.run_sync(self._acquire)
        try:
            browser = await trio.to_thread.run_sync(self._start_browser, zeroconf, deliver)
            try:
                async with sender, receiver:
                    yield receiver
            finally:
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(browser.cancel)
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._release)

    # -- in worker threads -----------------------------------------------------------------------
    def _acquire(self) -> Zeroconf:
        with self._lock:
            if self._zeroconf is None:
                from zeroconf import IPVersion, Zeroconf

                versions = {ipaddress.ip_address(each).version for each in self._interfaces}
                both = {4: IPVersion.V4Only, 6: IPVersion.V6Only}
                ip = both[versions.pop()] if len(versions) == 1 else IPVersion.All
                _log.info("mDNS on %s", ", ".join(self._interfaces))
                self._zeroconf = Zeroconf(interfaces=self._interfaces, ip_version=ip)
            self._users += 1
            return self._zeroconf

    def _release(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._zeroconf is not None:
                zeroconf, self._zeroconf = self._zeroconf, None
                zeroconf.close()

    def _start_browser(self, zeroconf: Zeroconf, deliver: Any) -> Any:
        from zeroconf import ServiceBrowser, ServiceStateChange

        def on_change(
            zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
        ) -> None:
            if state_change is ServiceStateChange.Removed:
                return
            info = zeroconf.get_service_info(service_type, name, RESOLVE_TIMEOUT_MS)
            found = announcement(info) if info is not None else None
            if found is None:
                self.counters["unreadable" if info is not None else "unresolved"] += 1
            else:
                deliver(found)

        return ServiceBrowser(zeroconf, SERVICE, handlers=[on_change])


def service_info(what: Announcement) -> ServiceInfo:
    """The DNS-SD records of an announcement."""
    from zeroconf import ServiceInfo

    suffix = f"-{what.node_prefix[:8]}"
    name = what.name.replace(".", "-").encode()[: LABEL_BYTES_MAX - len(suffix)]
    label = name.decode(errors="ignore") + suffix
    properties = {
        "v": VERSION,
        "mesh": what.mesh_prefix,
        "meshname": what.mesh_name,
        "name": what.name,
        "node": what.node_prefix,
        "pp": str(what.peer_port),
        "jp": str(what.join_port),
        "sp": str(what.swim_port),
    }
    return ServiceInfo(
        SERVICE,
        f"{label}.{SERVICE}",
        port=what.peer_port,
        server=f"vitte-{what.node_prefix}.local.",
        parsed_addresses=[what.host],
        properties=properties,
    )


def announcement(info: ServiceInfo) -> Announcement | None:
    """What was announced, or None when it is not of our making. Never raises."""
    addresses = info.parsed_addresses()
    if not addresses:
        return None
    try:
        texts = {key.decode(): (value or b"").decode() for key, value in info.properties.items()}
        return _parse(texts, addresses[0])
    except (KeyError, ValueError):  # UnicodeDecodeError is a ValueError
        return None


def _parse(texts: Mapping[str, str], host: str) -> Announcement:
    if texts["v"] != VERSION:
        raise ValueError("another version")
    return Announcement(
        name=_short_text(texts["name"]),
        mesh_prefix=_digits(texts["mesh"]),
        mesh_name=_short_text(texts["meshname"]),
        node_prefix=_digits(texts["node"]),
        host=str(ipaddress.ip_address(host)),
        peer_port=_port(texts["pp"]),
        join_port=_port(texts["jp"]),
        swim_port=_port(texts["sp"]),
    )


def _short_text(text: str) -> str:
    if not 0 < len(text.encode()) <= NAME_BYTES_MAX or not text.isprintable():
        raise ValueError("not a name")
    return text


def _digits(text: str) -> str:
    if len(text) != PREFIX_DIGITS or not set(text) <= set("0123456789abcdef"):
        raise ValueError("not a prefix")
    return text


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:6]) < 65_536:
        raise ValueError("not a port")
    return int(text)
