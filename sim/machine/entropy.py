"""`mesh.ports.Entropy` of one life of a process: drawn from the seed, different in every life."""

from __future__ import annotations

from sim.kernel.world import World


class SimEntropy:
    """Secrets and choices come from two streams: a program that draws one more name makes the same
    choices as before."""

    def __init__(self, world: World, name: str) -> None:
        self._tokens = world.rng(f"{name} tokens")
        self.random = world.rng(f"{name} choices").random

    def token(self, size_bytes: int) -> bytes:
        return self._tokens.getrandbits(8 * size_bytes).to_bytes(size_bytes, "big")
