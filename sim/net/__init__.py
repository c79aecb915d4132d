"""The simulated network: datagrams, streams and multicast between hosts, and all their faults.

    network = Network(world, Link(latency_s=0.002))       # the link between any two hosts
    host = network.add_host("10.0.0.1")                    # one machine: its cable, its addresses
    sockets = host.boot(cpu)                               # one life of its process: fresh sockets
    sockets.datagrams, sockets.streams, sockets.discovery  # the ports of `mesh.ports.Env`
    sockets.close()                                        # it ended: the system closes them
    host.power_off(); host.power_on()                      # vanish without a word; be back, empty
    cpu                           # `Cpu`: monotonic() and soon(fn), the machine's own time and turn

Without hosts, for cores driven by hand: network.attach(address, receiver), detach, send, deliver.

Faults. Every verb returns a `Fault`; `fault.undo()` takes back exactly that one, also when others
of its kind overlap it; `network.heal()` takes back all. A place is "10.0.0.1", an address (its port
is ignored) or ANY; a pair of places is directed. `traffic`: DATAGRAMS, STREAMS, MULTICAST or ALL.

    degrade(source, destination, **changes of Link)     what a cable does to what it carries:
        latency=Constant|Uniform|Lognormal|Spikes, loss=, burst=GilbertElliott, duplication=,
        reordering=, corruption= (bit flips), truncation=, mtu_bytes=, bandwidth_bytes_per_s= and
        queue_bytes= (drop-tail; a large one is bufferbloat). All pairs that one call matches share
        one cable, so `degrade(host, ANY, bandwidth_bytes_per_s=...)` is that host's uplink.
    cut(source, destination, traffic=ALL)               one way: lost without a word (black hole)
    partition(groups, traffic=ALL)                      only the same group can talk
    isolate(place, traffic=ALL)                         both ways, from everybody
    clog(source, destination)                           held back, and let go all at once by undo
    silence_refusals(place)                             a firewall: closed ports answer nothing
    small_buffers(place, datagrams=)                    the receiver's socket buffer overflows early
    refuse_streams(place)                               every dial of it is refused at once
    stall_handshakes(place)                             accepts, then says nothing
    read_slowly(place, bytes_per_s=)                    its programs read their streams no faster
    chop_streams(source, destination, size_bytes=)      arrives in pieces of so many bytes
    narrow_window(source, destination, size_bytes=)     so many bytes unread, then the sender waits
  Once, nothing to undo (they return how many were hit):
    reset_streams(one, other)                           RST on all streams between the two
    reset_streams_after(one, other, size_bytes=)        these break after so many bytes more
    half_close_streams(source, destination)             an end of stream in one direction only
    forge_refusal(to, claims, quoted)                   a port-unreachable that nobody's host sent
  network.counters names everything lost, and why; network.observers see each packet's fate.

Deliberately not here: faults as data (`sim.faults`), machines and their processes (`sim.machine`).
"""

from sim.net.host import Cpu, Host
from sim.net.link import Constant, GilbertElliott, Link, Lognormal, Spikes, Uniform
from sim.net.network import Network, Packet
from sim.net.roads import ALL, ANY, DATAGRAMS, MULTICAST, STREAMS, Place
from sim.net.sockets import Sockets
from sim.undo import Fault

__all__ = [
    "ALL",
    "ANY",
    "DATAGRAMS",
    "MULTICAST",
    "STREAMS",
    "Constant",
    "Cpu",
    "Fault",
    "GilbertElliott",
    "Host",
    "Link",
    "Lognormal",
    "Network",
    "Packet",
    "Place",
    "Sockets",
    "Spikes",
    "Uniform",
]
