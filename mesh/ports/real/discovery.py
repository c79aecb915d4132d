"""`Discovery` by mDNS / DNS-SD (RFC 6762, RFC 6763) with zeroconf, and one that finds nothing.

    <name>-<node>._vitte-mesh._tcp.local.   SRV host:pp   TXT v mesh meshname node pp jp sp

Rules: only the interfaces named to the constructor are touched, never all by default, and the
kernel sees to it (`mdns_sockets`); what is announced on loopback stays there. zeroconf runs in its
own threads and is imported only when first used, because it costs a node that does not need it
0.2 s and 10 MB; what is found is parsed strictly, and trusted for nothing but an address to try.
Where mDNS is not possible one line of the log says so, and only known addresses are tried.

Not here: who is a member, and joining.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import threading
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import trio

from mesh.limits import DISCOVERY_QUEUE_MAX, NAME_BYTES_MAX
from mesh.ports import Announcement, Discovery
from mesh.ports.real.mdns_sockets import confine
from mesh.types import is_loopback

if TYPE_CHECKING:
    from zeroconf import DNSQuestionType, ServiceInfo, Zeroconf

SERVICE = "_vitte-mesh._tcp.local."
VERSION = "1"
LABEL_BYTES_MAX = 63
PREFIX_DIGITS = 16
RESOLVE_TIMEOUT_MS = 3000
LOOPBACK_QUIET_S = 15.0
"""Nodes on loopback are announced this long after they asked to be. Those of a local cluster are
told of each other when they start; zeroconf's import would take its cores just then."""

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


def discovery_at(host: str) -> Discovery:
    """mDNS on the interface that has the address `host`."""
    quiet_s = LOOPBACK_QUIET_S if is_loopback(host) else 0.0
    return ZeroconfDiscovery([host], announce_after_s=quiet_s)


class ZeroconfDiscovery:
    """mDNS on the given interfaces (their IP addresses), either all or none of them loopback. One
    zeroconf instance, shared by all announcements and browsers, alive while there is any."""

    def __init__(self, interfaces: Sequence[str], *, announce_after_s: float = 0.0) -> None:
        assert interfaces, "name the interfaces, or use StaticDiscovery"
        within = {is_loopback(each) for each in interfaces}
        assert len(within) == 1, "what is said on loopback is said nowhere else"
        self._loopback = within.pop()
        self._interfaces = list(interfaces)
        self._announce_after_s = announce_after_s
        self._lock = threading.Lock()
        self._users = 0
        self._zeroconf: Zeroconf | None = None
        self._gave_up = False
        self.counters: Counter[str] = Counter()
        """Announcements dropped, and what could not be done: reason -> count."""

    @asynccontextmanager
    async def announce(self, what: Announcement) -> AsyncIterator[None]:
        await trio.sleep(self._announce_after_s)
        async with self._shared() as zeroconf:
            info = service_info(what) if zeroconf is not None else None
            if zeroconf is None or info is None or not await self._register(zeroconf, info):
                yield
                return
            try:
                yield
            finally:
                with trio.CancelScope(shield=True):  # say goodbye, also when cancelled
                    await trio.to_thread.run_sync(self._unregister, zeroconf, info)

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

        async with self._shared() as zeroconf, sender, receiver:
            if zeroconf is None:
                yield receiver  # open and silent: iterating waits
                return
            browser = await trio.to_thread.run_sync(self._start_browser, zeroconf, deliver)
            try:
                yield receiver
            finally:
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(browser.cancel)

    @asynccontextmanager
    async def _shared(self) -> AsyncIterator[Zeroconf | None]:
        """The one instance; None where there cannot be one."""
        zeroconf = await trio.to_thread.run_sync(self._acquire)
        try:
            yield zeroconf
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._release)

    async def _register(self, zeroconf: Zeroconf, info: ServiceInfo) -> bool:
        try:
            await trio.to_thread.run_sync(
                lambda: zeroconf.register_service(info, allow_name_change=True)
            )
        except OSError as error:  # EventLoopBlocked is one: a machine too busy to answer
            self._give_up(error)
            return False
        return True

    # -- in worker threads -----------------------------------------------------------------------
    def _unregister(self, zeroconf: Zeroconf, info: ServiceInfo) -> None:
        with suppress(OSError):  # a goodbye that is not heard is replaced by the records' age
            zeroconf.unregister_service(info)

    def _acquire(self) -> Zeroconf | None:
        with self._lock:
            if self._zeroconf is None:
                try:
                    self._zeroconf = self._open()
                except (OSError, ValueError) as error:  # ValueError: a host name, not an address
                    self._give_up(error)
            self._users += 1
            return self._zeroconf

    def _open(self) -> Zeroconf:
        from zeroconf import IPVersion, Zeroconf

        versions = {ipaddress.ip_address(each).version for each in self._interfaces}
        if self._loopback and versions != {4}:
            raise OSError(errno.EAFNOSUPPORT, "the IPv6 loopback has no multicast")
        both = {4: IPVersion.V4Only, 6: IPVersion.V6Only}
        ip = both[versions.pop()] if len(versions) == 1 else IPVersion.All
        logging.getLogger("zeroconf").setLevel(logging.CRITICAL)  # we say it ourselves, and once
        zeroconf = Zeroconf(interfaces=self._interfaces, ip_version=ip)
        try:
            confine(zeroconf, loopback=self._loopback)
        except BaseException:
            zeroconf.close()
            raise
        within = ", bound to the loopback device" if self._loopback else ""
        _log.info("mDNS on %s%s", ", ".join(self._interfaces), within)
        return zeroconf

    def _give_up(self, error: OSError | ValueError) -> None:
        self.counters["impossible"] += 1
        if not self._gave_up:
            self._gave_up = True
            where = ", ".join(self._interfaces)
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            _log.warning("no mDNS on %s (%s): only known addresses are tried", where, why)

    def _release(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0 and self._zeroconf is not None:
                zeroconf, self._zeroconf = self._zeroconf, None
                zeroconf.close()

    def _question(self) -> DNSQuestionType | None:
        """How to ask. None is zeroconf's way, which wants the first answer sent to us alone; but
        all nodes of loopback share address and port, and the kernel would give it to any one."""
        from zeroconf import DNSQuestionType

        return DNSQuestionType.QM if self._loopback else None

    def _start_browser(self, zeroconf: Zeroconf, deliver: Any) -> Any:
        from zeroconf import ServiceBrowser, ServiceStateChange

        question = self._question()

        def on_change(
            zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
        ) -> None:
            if state_change is ServiceStateChange.Removed:
                return
            info = zeroconf.get_service_info(service_type, name, RESOLVE_TIMEOUT_MS, question)
            found = announcement(info) if info is not None else None
            if found is None:
                self.counters["unreadable" if info is not None else "unresolved"] += 1
            else:
                deliver(found)

        return ServiceBrowser(zeroconf, SERVICE, handlers=[on_change], question_type=question)


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
