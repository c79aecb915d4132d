"""Simulated serial lines: baud-limited, and as unreliable as a loose plug.

    line = SerialLine(world, world.rng("serial 1"), SerialLineConfig(baud=115_200))
    left, right = line.left, line.right        # both ends: `mesh.ports.SerialStream`
    serial = SimSerial({"sim0": line.left})    # `mesh.ports.Serial` of a machine with that plug

Faults; every verb returns a `Fault` with `undo()`:

    lose(chance=)          bytes vanish
    flip(chance=)          bits of a byte flip
    noise(bytes_per_s=)    bytes arrive that nobody sent
    cut(direction=)        nothing arrives in that direction
    unplug()               the port vanishes: open ends break, opening fails until undo
    mismatch(baud)         the other end runs at another speed: garbage
  Overrun needs no verb: an end that is not read loses what its buffer cannot hold, and counts it.
"""
