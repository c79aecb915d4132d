"""A small network of our own: hosts in network namespaces on one bridge, for the end-to-end tests.

    host A ---+
    host B ---+--- bridge (in a namespace of its own)
    host C ---+

Rules
- Nothing exists in the machine's own network: the bridge has its namespace as well, so neither
  gossip nor mDNS can leave it. Names start with `vmt` and hold the pid.
- Everything is taken down when the `with` block ends, whatever happened inside, the processes that
  were left in the hosts first.

Deliberately not here: routing, IPv6 beyond link-local, name service.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

_COUNTER = itertools.count(1)
_IP_TIMEOUT_S = 20.0
_HOSTS_MAX = 16


def need_root() -> str | None:
    """Why namespaces cannot be made here, or None when they can (it really tries)."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "`ip` is missing: apt install iproute2"
    name = f"vmt{os.getpid()}probe"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if made.returncode != 0:
        return f"`ip netns add` does not work here: {made.stderr.strip()}"
    try:
        _ip("-n", name, "link", "add", "br0", "type", "bridge")
    except NetworkError as error:
        return f"no bridge can be made here: {error}"
    finally:
        _ip("netns", "del", name)
    return None


class NetworkError(Exception):
    """`ip` refused; the text is what it said."""


class Host:
    """One machine of the network: its own loopback and one interface, `eth0`."""

    def __init__(self, namespace: str, address: str, port: str) -> None:
        self.namespace = namespace
        self.address = address
        self._port = port
        """Its end in the bridge's namespace."""

    def command(self, argv: Sequence[str | Path]) -> list[str]:
        """`argv`, to be run on this host."""
        return ["ip", "netns", "exec", self.namespace, *map(str, argv)]

    def run(
        self, argv: Sequence[str | Path], *, timeout: float = 60.0, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run to its end; stdout and stderr are captured as text."""
        return subprocess.run(
            self.command(argv),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            **options,
        )

    def popen(
        self, argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[bytes]:
        """Start; whatever still runs at the end of the network is killed."""
        return subprocess.Popen(self.command(argv), env=env, **options)

    def pids(self) -> list[int]:
        """Every process on this host."""
        return [int(pid) for pid in _ip("netns", "pids", self.namespace).split()]


class Network:
    """`with Network(3) as hosts:` gives that many hosts that can reach each other."""

    def __init__(self, count: int, prefix: str = "10.213.7") -> None:
        assert 1 <= count <= _HOSTS_MAX
        self._tag = f"vmt{os.getpid()}n{next(_COUNTER)}"
        self._switch = f"{self._tag}sw"
        self.hosts = [
            Host(f"{self._tag}h{number}", f"{prefix}.{number}", f"p{number}")
            for number in range(1, count + 1)
        ]

    def __enter__(self) -> list[Host]:
        try:
            self._make_switch()
            for host in self.hosts:
                self._make_host(host)
        except BaseException:
            self.close()
            raise
        return self.hosts

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def unplug(self, host: Host) -> None:
        """Take the host off the network; its interface and address stay."""
        _ip("-n", self._switch, "link", "set", host._port, "down")

    def plug(self, host: Host) -> None:
        _ip("-n", self._switch, "link", "set", host._port, "up")

    def split(self, apart: Sequence[Host]) -> None:
        """Cut these hosts off from the others, not from each other."""
        _ip("-n", self._switch, "link", "add", "br1", "type", "bridge", "mcast_snooping", "0")
        _ip("-n", self._switch, "link", "set", "br1", "up")
        for host in apart:
            _ip("-n", self._switch, "link", "set", host._port, "master", "br1")

    def heal(self) -> None:
        """One network again."""
        for host in self.hosts:
            _ip("-n", self._switch, "link", "set", host._port, "master", "br0")
        _ip("-n", self._switch, "link", "del", "br1")

    def close(self) -> None:
        """Kill what runs in the hosts, remove everything. May be called twice."""
        present = set(_ip("netns", "list").split())
        for host in self.hosts:
            if host.namespace in present:
                _kill(host)
                _ip("netns", "del", host.namespace)
        if self._switch in present:
            _ip("netns", "del", self._switch)

    def _make_switch(self) -> None:
        _ip("netns", "add", self._switch)
        # No snooping: nobody here answers its queries, and multicast must reach every port.
        bridge = ("type", "bridge", "mcast_snooping", "0", "stp_state", "0", "forward_delay", "0")
        _ip("-n", self._switch, "link", "add", "br0", *bridge)
        _ip("-n", self._switch, "link", "set", "br0", "up")

    def _make_host(self, host: Host) -> None:
        name = host.namespace
        _ip("netns", "add", name)
        peer = ("peer", "name", host._port, "netns", self._switch)
        _ip("link", "add", "eth0", "netns", name, "type", "veth", *peer)
        _ip("-n", self._switch, "link", "set", host._port, "master", "br0", "up")
        _ip("-n", name, "addr", "add", f"{host.address}/24", "dev", "eth0")
        _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", name, "link", "set", "eth0", "up")
        _ip("-n", name, "route", "add", "224.0.0.0/4", "dev", "eth0")


def _kill(host: Host) -> None:
    for pid in host.pids():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def _ip(*words: str) -> str:
    result = subprocess.run(["ip", *words], capture_output=True, text=True, timeout=_IP_TIMEOUT_S)
    if result.returncode != 0:
        raise NetworkError(f"ip {' '.join(words)}: {result.stderr.strip()}")
    return result.stdout
