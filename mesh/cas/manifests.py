"""The manifests of large blobs: in memory, and in the packs for the next process.

A manifest is written to the packs when it is first asked for, not when a blob is stored: most blobs
are never sent. Thread-safe. Not here: computing one from a file.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from mesh.cas.packfile import MANIFEST
from mesh.cas.packs import Packs
from mesh.errors import StoreFull
from mesh.limits import MANIFEST_MEMORY_BYTES_MAX
from mesh.types import Digest
from mesh.wire.blobid import Manifest, ManifestReader
from mesh.wire.errors import WireError


class Manifests:
    """Blob id -> manifest; the least recently used go from memory."""

    def __init__(self, packs: Packs) -> None:
        self._packs = packs
        self._held: OrderedDict[Digest, Manifest] = OrderedDict()
        self._lock = threading.Lock()
        self._size_bytes = 0

    def note(self, digest: Digest, manifest: Manifest) -> None:
        """Remember one in memory."""
        with self._lock:
            if digest in self._held:
                return
            self._held[digest] = manifest
            self._size_bytes += len(manifest.digests)
            while self._size_bytes > MANIFEST_MEMORY_BYTES_MAX and len(self._held) > 1:
                _, dropped = self._held.popitem(last=False)
                self._size_bytes -= len(dropped.digests)

    def get(self, digest: Digest) -> Manifest | None:
        """The one in memory, or else that of the packs."""
        with self._lock:
            manifest = self._held.get(digest)
            if manifest is not None:
                self._held.move_to_end(digest)
                return manifest
        manifest = self._read(digest)
        if manifest is not None:
            self.note(digest, manifest)
        return manifest

    def keep(self, manifest: Manifest) -> None:
        """Write it down for the next process; that it cannot be costs time only."""
        try:
            for name, page in manifest.named_pages():
                self._packs.put(name, page, MANIFEST)
        except (OSError, StoreFull):
            return

    def _read(self, digest: Digest) -> Manifest | None:
        reader = ManifestReader(digest)
        try:
            while (wanted := reader.wanted) is not None:
                page = self._packs.get(wanted, MANIFEST)
                if page is None:
                    return None
                reader.feed(page)
        except (OSError, WireError):
            return None
        return reader.manifest
