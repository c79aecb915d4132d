"""Simulated serial lines: limited by their baud rate, and as unreliable as a loose plug.

    line = SerialLine(world, "serial 1", SerialLineConfig(baud=115_200))
    line.left, line.right                      # both ends (`SerialEnd`)
    serial = SimSerial({"sim0": line.left})    # `mesh.ports.Serial` of a machine with that plug;
    serial.close_all()                         # its process has ended
    line.right.attach(fn); line.right.write(data)   # a core or a board without tasks, by callbacks

Faults; every verb returns a `Fault` with `undo()`, and `line.heal()` undoes all. `at` is the end at
which it shows: "left", "right" or "both".

    lose(chance=, at=)          bytes vanish
    flip(chance=, at=)          a bit of a byte flips
    noise(bytes_per_s=, at=)    bytes arrive that nobody sent
    cut(at=)                    nothing arrives
    unplug(at=)                 the port vanishes: open streams break, opening fails until undo
    mismatch(at=)               that end runs at another speed: it hears garbage
  An overrun needs no verb: an end that is not read loses what its buffer cannot hold.
  line.counters names everything lost, and why.
"""

from sim.serial.line import SerialEnd, SerialLine, SerialLineConfig
from sim.serial.port import SimSerial, SimSerialStream

__all__ = ["SerialEnd", "SerialLine", "SerialLineConfig", "SimSerial", "SimSerialStream"]
