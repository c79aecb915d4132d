"""What must not be thrown away: leases of whoever uses blobs right now, and the user's pins.

Rules
- A lease is taken before it is asked whether the blobs are there, and held until they are not
  needed; from then on none of them is removed. It names them by a function, called only when
  something is to be removed: a lease costs the same for one blob and for ten thousand.
- Pins outlive the process. They are written down, durably, before `pin` returns.

Thread-safe. Not here: what is removed when (`mesh.cas.evict`), the copies other nodes have.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count

from mesh.cas.files import read_cache
from mesh.errors import TooManyPins
from mesh.limits import BLOB_PINS_MAX, PIN_LABEL_BYTES_MAX
from mesh.ports import Disk
from mesh.types import DIGEST_BYTES, Digest
from mesh.wire import cbor
from mesh.wire.errors import WireError

logger = logging.getLogger(__name__)


class Keep:
    """See the module's head. `name` is the file of the pins."""

    def __init__(self, disk: Disk, name: str) -> None:
        self._disk = disk
        self._name = name
        self._leases: dict[int, Callable[[], Iterable[Digest]]] = {}
        self._numbers = count()
        self.lock = threading.RLock()
        """Held while something is removed: a lease that is taken meanwhile waits for it."""
        self.version = 0
        """Changes whenever more is to be kept."""
        self._pins = _parse(read_cache(disk, name) or b"", name)
        self.on_pins: Callable[[], None] = lambda: None
        """Called when there are more pins or fewer, perhaps in a worker thread."""

    @contextmanager
    def lease(self, digests: Callable[[], Iterable[Digest]]) -> Iterator[None]:
        """Keep these blobs, as far as they are here, while the context lasts."""
        number = next(self._numbers)
        with self.lock:
            self._leases[number] = digests
            self.version += 1
        try:
            yield
        finally:
            del self._leases[number]

    @property
    def leases(self) -> int:
        return len(self._leases)

    @property
    def pins(self) -> Mapping[Digest, str]:
        """Pinned blobs, and why."""
        return dict(self._pins)

    def is_pinned(self, digest: Digest) -> bool:
        return digest in self._pins

    def pin(self, digest: Digest, label: str) -> None:
        """Raises TooManyPins, StoreFull, OSError."""
        with self.lock:
            if len(self._pins) >= BLOB_PINS_MAX and digest not in self._pins:
                raise TooManyPins(limit=BLOB_PINS_MAX)
            self._save({**self._pins, digest: _short(label)})

    def unpin(self, digest: Digest) -> bool:
        """Whether it was pinned. Raises StoreFull, OSError."""
        with self.lock:
            if digest not in self._pins:
                return False
            self._save({each: label for each, label in self._pins.items() if each != digest})
            return True

    def kept(self) -> set[Digest]:
        """Everything that is leased or pinned now."""
        found = set(self._pins)
        for digests in list(self._leases.values()):
            found.update(digests())
        return found

    def _save(self, pins: dict[Digest, str]) -> None:
        self._disk.write(self._name, cbor.encode(sorted([each, pins[each]] for each in pins)))
        self._pins = pins
        self.version += 1
        self.on_pins()


def _short(label: str) -> str:
    return label.encode("utf-8", "replace")[:PIN_LABEL_BYTES_MAX].decode("utf-8", "ignore")


def _parse(data: bytes, name: str) -> dict[Digest, str]:
    if not data:
        return {}
    try:
        return _opened(cbor.decode(data))
    except (WireError, ValueError, TypeError):
        logger.warning("%s is damaged: the pins in it are lost", name)
        return {}


def _opened(found: object) -> dict[Digest, str]:
    if not isinstance(found, list):
        raise TypeError
    pins: dict[Digest, str] = {}
    for digest, label in found:
        if not isinstance(digest, bytes) or len(digest) != DIGEST_BYTES:
            raise ValueError
        pins[Digest(digest)] = str(label)
    return pins
