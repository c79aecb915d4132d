"""The sockets of one life of a process: three ports of `mesh.ports.Env`, and how they end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sim.net.datagrams import SimDatagrams
from sim.net.multicast import SimDiscovery
from sim.net.streams import SimStreams

if TYPE_CHECKING:
    from sim.net.host import Cpu, Host


class Sockets:
    """Made by `Host.boot`."""

    def __init__(self, host: Host, cpu: Cpu) -> None:
        self.host = host
        self.cpu = cpu
        self.open = True
        self.datagrams = SimDatagrams(self)
        self.streams = SimStreams(self)
        self.discovery = SimDiscovery(self)

    def close(self) -> None:
        """The process has ended: its ports do nothing any more, the others notice what they can."""
        if self.open:
            self.open = False
            self.host.forget(self)
            self.datagrams.close_all()
            self.streams.close_all()
            self.discovery.close_all()
