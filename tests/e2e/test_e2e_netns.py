"""The helper that makes networks for the other tests: it connects, separates and leaves nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest
from netns import Host, Network, need_root

LISTEN = """
import socket, struct, sys
group, address = "224.0.0.251", sys.argv[1]
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((group, 5353))
s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
             socket.inet_aton(group) + socket.inet_aton(address))
s.settimeout(20)
print("ready", flush=True)
print(s.recvfrom(100)[0].decode(), flush=True)
"""
SHOUT = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.sendto(b"hello", ("224.0.0.251", 5353))
"""
SERVE = """
import socket, sys
s = socket.create_server((sys.argv[1], 7000))
print("ready", flush=True)
while True:
    s.accept()[0].close()
"""
DIAL = """
import socket, sys
socket.create_connection((sys.argv[1], 7000), timeout=1).close()
"""

_WHY_NOT = need_root()
pytestmark = pytest.mark.skipif(_WHY_NOT is not None, reason=str(_WHY_NOT))


def start(host: Host, code: str, *arguments: str) -> subprocess.Popen[bytes]:
    process = host.popen([sys.executable, "-I", "-c", code, *arguments], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def dial(host: Host, to: Host) -> int:
    return host.run([sys.executable, "-I", "-c", DIAL, to.address]).returncode


def test_hosts_reach_each_other_until_one_is_unplugged() -> None:
    network = Network(2)
    with network as (first, second):
        server = start(second, SERVE, second.address)
        assert dial(first, second) == 0
        network.unplug(second)
        assert dial(first, second) != 0
        network.plug(second)
        assert dial(first, second) == 0
    assert server.wait(timeout=5) == -9
    assert server.stdout is not None
    server.stdout.close()


def test_multicast_reaches_the_other_hosts() -> None:
    with Network(3) as (first, second, third):
        listeners = [start(host, LISTEN, host.address) for host in (second, third)]
        assert first.run([sys.executable, "-I", "-c", SHOUT]).returncode == 0
        for listener in listeners:
            said, _ = listener.communicate(timeout=20)
            assert said == b"hello\n"


def test_nothing_is_left_behind() -> None:
    with Network(2) as hosts:
        names = {host.namespace for host in hosts}
        sleeper = hosts[0].popen(["sleep", "1000"])
        listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
        assert names <= set(listed.split())
    assert sleeper.wait(timeout=5) == -9
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
    assert not names & set(listed.split())
