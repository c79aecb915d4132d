"""Local clusters announce themselves on loopback, find each other there, and leave it nowhere.

Everything happens in network namespaces: `home` has the clusters and a network card, `stranger` is
another machine on that network, asking and listening.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest
from cluster import COMMAND_TIMEOUT_S, VITTE, eventually
from netns import Host, Network, need_root

_WHY_NOT = need_root()
pytestmark = pytest.mark.skipif(_WHY_NOT is not None, reason=str(_WHY_NOT))

SERVICE = b"\x0b_vitte-mesh\x04_tcp\x05local\x00"
"""As it stands in every query and answer."""
CONTROL = b"this one leaves"
CONTROL_PORT = 7001
ICMP = 1
NOTHING_MORE_S = 2.0
"""How long is listened for what must not come; answers to a query take 0.12 s."""

CAPTURE = """
import json, socket, sys
device = sys.argv[1]
s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
s.bind((device, 3))
print("ready")
while True:
    data, (_, kind, direction, *_) = s.recvfrom(65536)
    if kind == 0x0800 and direction == 4:  # IPv4, outgoing
        words = (data[0] & 15) * 4
        print(json.dumps([data[9], data[words + 8 :].hex()]))
"""
SHARE_GROUP = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
s.bind(("224.0.0.251", 5353))
group = socket.inet_aton("224.0.0.251") + socket.inet_aton(sys.argv[1])
s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
print("ready")
while True:
    s.recv(65536)
"""
ASK = """
import socket, sys
to, service, wait_s = sys.argv[1], bytes.fromhex(sys.argv[2]), float(sys.argv[3])
question = bytes.fromhex("000700000001000000000000") + service + bytes.fromhex("000c0001")
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(wait_s)
s.sendto(question, (to, 5353))
s.sendto(question, ("224.0.0.251", 5353))
try:
    print(s.recv(65536).hex())
except TimeoutError:
    print("silence")
"""
SAY = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.sendto(sys.argv[3].encode(), (sys.argv[1], int(sys.argv[2])))
"""
BROWSE = """
import sys, trio
from mesh.ports.real.discovery import ZeroconfDiscovery
async def main():
    async with ZeroconfDiscovery([sys.argv[1]]).browse() as found:
        print("ready")
        with trio.move_on_after(float(sys.argv[2])):
            async for each in found:
                print(each.mesh_name, each.host, each.node_prefix)
trio.run(main)
"""
OCCUPY = """
import socket, time
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("0.0.0.0", 5353))
print("ready")
time.sleep(600)
"""


Start = Callable[..., "Helper"]


@pytest.fixture
def network() -> Iterator[tuple[Host, Host]]:
    with Network(2) as (home, stranger):
        yield home, stranger


@attrs.frozen
class Packet:
    """An outgoing IPv4 packet."""

    protocol: int
    data: bytes
    """Behind a UDP header's place."""


class Helper:
    """A script that runs on a host, and what it has printed so far."""

    def __init__(self, host: Host, code: str, arguments: Sequence[str], output: Path) -> None:
        self._output = output
        with output.open("w") as file:
            argv = [sys.executable, "-u", "-c", code, *arguments]
            self._process = host.popen(argv, stdout=file)
        eventually(lambda: output.read_text().startswith("ready\n"), "the script to be ready")

    def lines(self) -> list[str]:
        """Whole lines after `ready`."""
        return self._output.read_text().rpartition("\n")[0].splitlines()[1:]

    def packets(self) -> list[Packet]:
        parsed = [json.loads(line) for line in self.lines()]
        return [Packet(protocol, bytes.fromhex(data)) for protocol, data in parsed]

    def heard(self, data: bytes) -> Callable[[], bool]:
        return lambda: any(packet.data == data for packet in self.packets())

    def close(self) -> None:
        self._process.kill()
        self._process.wait(COMMAND_TIMEOUT_S)


@pytest.fixture
def start(network: tuple[Host, Host], tmp_path: Path) -> Iterator[Start]:
    """Runs a script on a host, and comes back once it is ready."""
    helpers: list[Helper] = []

    def start(host: Host, code: str, *arguments: str) -> Helper:
        assert host in network
        helpers.append(Helper(host, code, arguments, tmp_path / f"helper-{len(helpers)}"))
        return helpers[-1]

    yield start
    for helper in helpers:
        helper.close()


def script(host: Host, code: str, *arguments: str) -> str:
    done = host.run([sys.executable, "-c", code, *arguments])
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


class LocalCluster:
    """`vitte dist start --nodes 2` on one host."""

    def __init__(self, host: Host, directory: Path) -> None:
        self._host = host
        self._directory = directory
        self.env = {**os.environ, "XDG_STATE_HOME": str(directory.parent / "state")}

    def home(self, number: int) -> Path:
        return self._directory / f"node-{number}"

    def vitte(self, *arguments: str) -> str:
        done = self._host.run([*VITTE, *arguments], env=self.env, timeout=COMMAND_TIMEOUT_S)
        assert done.returncode == 0, done.stderr
        return str(done.stdout)

    def start(self) -> None:
        self.vitte("dist", "start", "--nodes", "2", "--slots", "1", "--dir", str(self._directory))

    def stop(self) -> None:
        self.vitte("dist", "stop", "--dir", str(self._directory))

    def start_each_alone(self) -> None:
        """As after a reboot, and with no memory of each other's addresses."""
        for number in (1, 2):
            (self.home(number) / "peers").unlink(missing_ok=True)
            self.vitte("--home", str(self.home(number)), "dist", "start")

    def members(self, number: int) -> dict[str, str]:
        """Node id -> state, as that node sees it."""
        view = json.loads(self.vitte("--home", str(self.home(number)), "--json", "dist", "status"))
        return {node["id"]: node["state"] for node in view["nodes"]}

    def whole(self) -> bool:
        return all(
            sum(state == "alive" for state in self.members(number).values()) == 2
            for number in (1, 2)
        )

    def log(self, number: int) -> str:
        return (self.home(number) / "node.log").read_text()

    def announced(self) -> bool:
        return all("mDNS on 127.0.0.1, bound to" in self.log(number) for number in (1, 2))


@contextmanager
def running(host: Host, directory: Path) -> Iterator[LocalCluster]:
    cluster = LocalCluster(host, directory)
    cluster.start()
    try:
        yield cluster
    finally:
        cluster.stop()


def test_a_local_cluster_is_heard_on_loopback_and_nowhere_else(
    network: tuple[Host, Host], start: Start, tmp_path: Path
) -> None:
    home, stranger = network
    question = (home.address, SERVICE.hex(), str(NOTHING_MORE_S))
    outside = start(stranger, BROWSE, stranger.address, "600")
    on_loopback, on_card = start(home, CAPTURE, "lo"), start(home, CAPTURE, "eth0")
    with running(home, tmp_path / "c") as cluster:
        eventually(cluster.announced, "the nodes to announce themselves")
        assert found_on_loopback(home) == 2
        assert script(stranger, ASK, *question) == "silence\n"
        script(home, SAY, stranger.address, str(CONTROL_PORT), CONTROL.decode())
        eventually(on_card.heard(CONTROL), "the control packet, so the capture is not blind")
        assert any(SERVICE in packet.data for packet in on_loopback.packets())
        assert [p for p in on_card.packets() if p.protocol != ICMP and p.data != CONTROL] == []

        # Another responder on the machine makes the kernel hear the group on the card, too.
        start(home, SHARE_GROUP, home.address)
        beside = start(home, BROWSE, home.address, "600")
        assert found_on_loopback(home) == 2
        assert script(stranger, ASK, *question) == "silence\n"
        assert beside.lines() == []
    assert outside.lines() == []


def found_on_loopback(host: Host) -> int:
    """Nodes of local clusters that answer there."""
    found = script(host, BROWSE, "127.0.0.1", str(NOTHING_MORE_S)).splitlines()
    return len({line for line in found if line.startswith("local 127.0.0.1 ")})


def test_clusters_of_one_machine_find_their_own_by_announcements_alone(
    network: tuple[Host, Host], tmp_path: Path
) -> None:
    home, _ = network
    with running(home, tmp_path / "a" / "c") as one, running(home, tmp_path / "b" / "c") as two:
        members = [set(each.members(1)) for each in (one, two)]
        assert not members[0] & members[1]
        for each in (one, two):
            each.stop()
            each.start_each_alone()
        for each in (one, two):
            eventually(each.whole, "the nodes to find each other")
        assert [set(each.members(1)) for each in (one, two)] == members
        for each in (one, two):
            assert "Traceback" not in each.log(1) + each.log(2)


def test_a_cluster_works_where_mdns_does_not(
    network: tuple[Host, Host], start: Start, tmp_path: Path
) -> None:
    home, _ = network
    start(home, OCCUPY)
    with running(home, tmp_path / "c") as cluster:
        said_so = "no mDNS on 127.0.0.1 (Address already in use): only known addresses are tried"
        for number in (1, 2):
            eventually(lambda n=number: said_so in cluster.log(n), "the node to say so")  # type: ignore[misc]
            assert cluster.log(number).count("mDNS") == 1
            assert "ERROR" not in cluster.log(number)
            assert "Traceback" not in cluster.log(number)
        assert cluster.whole()
