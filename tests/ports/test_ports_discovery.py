"""mDNS discovery on the loopback interface only; the real network is tested in namespaces."""

from __future__ import annotations

import socket
import subprocess
import sys

import attrs
import pytest
import trio
from zeroconf import ServiceInfo

from mesh.ports import Announcement
from mesh.ports.real.discovery import (
    SERVICE,
    StaticDiscovery,
    ZeroconfDiscovery,
    announcement,
    service_info,
)


def an_announcement(node: str = "0123456789abcdef") -> Announcement:
    return Announcement(
        name="kitchen.local",
        mesh_prefix="fedcba9876543210",
        mesh_name="home",
        node_prefix=node,
        host="127.0.0.1",
        peer_port=4001,
        join_port=4002,
        swim_port=4003,
    )


def test_records_say_what_was_announced() -> None:
    assert announcement(service_info(an_announcement())) == an_announcement()


@pytest.mark.parametrize("name", ["x" * 64, "é" * 32, "a.b.c", "with space"])
def test_any_node_name_makes_a_legal_label(name: str) -> None:
    info = service_info(attrs.evolve(an_announcement(), name=name))
    label = info.name.removesuffix("." + SERVICE)
    assert len(label.encode()) <= 63
    assert "." not in label


@pytest.mark.parametrize(
    "change",
    [
        {"v": "2"},
        {"node": "0123"},
        {"node": "0123456789abcdeX"},
        {"mesh": ""},
        {"pp": "0"},
        {"sp": "65536"},
        {"jp": "-1"},
        {"jp": "٣"},
        {"sp": "9" * 5000},
        {"name": ""},
        {"name": "a\x1b[31m"},
        {"meshname": "m" * 65},
        {"meshname": b"\xff\xfe"},
        {"node": None},
    ],
)
def test_foreign_records_are_refused_quietly(change: dict[str, str | bytes | None]) -> None:
    good = service_info(an_announcement())
    texts = {key.decode(): value for key, value in good.properties.items()}
    # A TXT record holds at most 255 bytes per item; longer values cannot arrive.
    texts |= {k: v[:200] if isinstance(v, str) else v for k, v in change.items()}
    bad = ServiceInfo(SERVICE, good.name, port=1, parsed_addresses=["127.0.0.1"], properties=texts)
    assert announcement(bad) is None


async def test_static_discovery_finds_nothing() -> None:
    discovery = StaticDiscovery()
    async with discovery.announce(an_announcement()), discovery.browse() as found:
        with trio.move_on_after(0) as waited:
            async for _ in found:
                pytest.fail("nothing was announced")
        assert waited.cancelled_caught


async def test_nodes_on_loopback_find_each_other() -> None:
    alice, bob = ZeroconfDiscovery(["127.0.0.1"]), ZeroconfDiscovery(["127.0.0.1"])
    what = an_announcement("aaaaaaaabbbbbbbb")
    with trio.fail_after(30):
        async with alice.announce(what), bob.browse() as found:
            async for each in found:
                if each == what:
                    break
    assert (alice._zeroconf, bob._zeroconf) == (None, None)


@pytest.mark.parametrize("host", ["::1", "not-an-address"])
async def test_where_mdns_is_not_possible_one_line_says_so(
    host: str, caplog: pytest.LogCaptureFixture
) -> None:
    discovery = ZeroconfDiscovery([host])
    async with discovery.announce(an_announcement()), discovery.browse() as found:
        with trio.move_on_after(0) as waited:
            async for _ in found:
                pytest.fail("there is nobody to hear")
        assert waited.cancelled_caught
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f"no mDNS on {host} (")
    assert line.endswith("only known addresses are tried")


def test_what_is_said_on_loopback_is_said_nowhere_else() -> None:
    with pytest.raises(AssertionError):
        ZeroconfDiscovery(["127.0.0.1", "192.0.2.1"])


async def test_the_sockets_of_loopback_are_bound_to_its_device() -> None:
    discovery = ZeroconfDiscovery(["127.0.0.1"])
    async with discovery.browse():
        assert discovery._zeroconf is not None
        engine = discovery._zeroconf.engine
        devices = {
            each.transport.get_extra_info("socket").getsockopt(
                socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16
            )
            for each in [*engine.readers, *engine.senders]
        }
    assert devices == {b"lo\0"}


def test_zeroconf_is_imported_only_when_used() -> None:
    code = (
        "import sys; from mesh.ports.real.discovery import ZeroconfDiscovery;"
        "ZeroconfDiscovery(['127.0.0.1']); sys.exit('zeroconf' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
