"""The world, under its short name: see `sim.kernel.world`."""

from sim.kernel.findings import Finding
from sim.kernel.trace import Trace
from sim.kernel.world import Event, World

__all__ = ["Event", "Finding", "Trace", "World"]
