"""A serial line that is as bad as one asks: bits flip, bytes vanish, repeat and come from nowhere.

    line = NoisyLine(Noise(bit_flips=1e-4), random)
    line.put(data); line.take(bytes_max)

One direction. Bytes come out in order, at most so many per call: that is the baud rate. Pure.
"""

from __future__ import annotations

from random import Random

import attrs

BYTES_PER_MS = 11.52
"""115200 baud, 10 bits a byte."""
GARBAGE_BYTES_MAX = 40


@attrs.frozen
class Noise:
    """Probabilities."""

    bit_flips: float = 0.0
    """Per bit."""
    drops: float = 0.0
    """Per byte: it does not arrive."""
    repeats: float = 0.0
    """Per byte: it and up to 40 before it arrive once more."""
    garbage: float = 0.0
    """Per byte: up to 40 random bytes come before it."""

    @property
    def silent(self) -> bool:
        return not (self.bit_flips or self.drops or self.repeats or self.garbage)


class NoisyLine:
    """One direction of a cable."""

    def __init__(self, noise: Noise, random: Random) -> None:
        self.noise = noise
        self._random = random
        self._queue = bytearray()
        self._room = 0.0
        self.carried = 0
        """Bytes put in so far."""

    def put(self, data: bytes) -> None:
        self.carried += len(data)
        self._queue += data if self.noise.silent else self._spoil(data)

    def take(self) -> bytes:
        """What arrives in the next millisecond."""
        self._room = min(2 * BYTES_PER_MS, self._room + BYTES_PER_MS)
        size = min(int(self._room), len(self._queue))
        self._room -= size
        out = bytes(self._queue[:size])
        del self._queue[:size]
        return out

    def unplug(self) -> None:
        """What is on the way is lost."""
        self._queue.clear()

    def _spoil(self, data: bytes) -> bytes:
        noise, random = self.noise, self._random
        out = bytearray()
        for byte in data:
            spoiled = byte
            if noise.garbage and random.random() < noise.garbage:
                out += random.randbytes(random.randint(1, GARBAGE_BYTES_MAX))
            if noise.drops and random.random() < noise.drops:
                continue
            if noise.bit_flips and random.random() < 8 * noise.bit_flips:
                spoiled ^= 1 << random.randrange(8)
            out.append(spoiled)
            if noise.repeats and random.random() < noise.repeats:
                out += out[-random.randint(1, GARBAGE_BYTES_MAX) :]
        return bytes(out)
