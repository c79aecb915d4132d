"""`Entropy` from the operating system: the same good source for secrets and for choices.

Protocol choices need no secrecy, but predictable ones (whom we probe next) help an attacker, and
the cost is a microsecond. Not here: anything seedable, that is the simulator's.
"""

from __future__ import annotations

import os
from random import SystemRandom


class RealEntropy:
    """See `mesh.ports.Entropy`."""

    def __init__(self) -> None:
        self._random = SystemRandom()

    def token(self, size_bytes: int) -> bytes:
        return os.urandom(size_bytes)

    def random(self) -> float:
        return self._random.random()
