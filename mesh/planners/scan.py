"""Which headers a compilation reads: asked of the compiler once, then remembered.

    Scanner(config).scan(step, tools) -> Scan

The answer is kept under (probe, folder, environment, source digest, compiler digests, names in the
include folders) as a list of (path, digest), and is valid while every listed file still has its
digest: the two-level manifest of ccache's direct mode. Paths are kept as the sandbox sees them, so
the same project in another folder finds them again.

Rules
- A probe that fails is not an error here: the compiler itself must report it, so the action runs
  with what is declared and is not cached.
- A new file that could shadow a header changes the listing of the include folders, of the source's
  folder, or of a folder in which a header was found beside its includer.

Deliberately not here: where the memory is (`ScanStore`), how probes are made (`mesh.planners.cc`).
"""

from __future__ import annotations

import os
import posixpath
import subprocess
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import attrs

from mesh.action.model import inside
from mesh.limits import SCAN_OUTPUT_BYTES_MAX, SCAN_READS_MAX, SCAN_TIMEOUT_S
from mesh.planners import makerule
from mesh.planners.base import DepScan, Mount, Step
from mesh.planners.listing import Listings
from mesh.planners.outside import OutsideFiles
from mesh.planners.toolchain import Hasher
from mesh.planners.validate import host_path, inside_path
from mesh.types import Digest
from mesh.wire import cbor
from mesh.wire.errors import WireError

_VERSION = 1
_SYSTEM_INCLUDE = "/usr/local/include"
"""Searched before /usr/include by default, and where people put things by hand."""


class ScanStore(Protocol):
    """A map of bytes that may forget, and is used from several threads."""

    def get(self, key: bytes) -> bytes | None: ...

    def put(self, key: bytes, value: bytes) -> None: ...


@attrs.frozen
class Scan:
    """What a step reads besides what it declares."""

    project: tuple[str, ...] = ()
    """Files in mounts, as the sandbox sees them."""
    system: tuple[str, ...] = ()
    """Files outside, absolute."""
    folders: tuple[str, ...] = ()
    """Folders in mounts that must exist because a path goes through them."""
    failed: bool = False


@attrs.frozen
class _Memory:
    """One remembered scan."""

    reads: tuple[tuple[str, Digest], ...]
    folders: tuple[str, ...]
    beside: tuple[str, ...]
    """Folders in which headers were found, beyond the include folders."""
    beside_names: bytes


class Scanner:
    """See the module's head; thread-safe."""

    def __init__(
        self,
        mounts: tuple[Mount, ...],
        hasher: Hasher,
        outside: OutsideFiles,
        listings: Listings,
        store: ScanStore | None = None,
    ) -> None:
        self._mounts = mounts
        self._hasher = hasher
        self._outside = outside
        self._listings = listings
        self._store = store
        self.probes = 0
        """Probes run, for metrics and tests of warmth."""

    def scan(self, step: Step, tools: Mapping[str, Digest]) -> Scan:
        """The reads of a step that has a `scan`. Raises InputChanged."""
        assert step.scan is not None, "only steps with a scan are scanned"
        folders = self._searched(step.scan)
        key = self._key(step, step.scan, tools, folders)
        remembered = self._recall(key)
        if remembered is not None:
            return remembered
        self.probes += 1
        text = self._probe(step, step.scan)
        if text is None:
            return Scan(failed=True)
        reads, through = self._reads(step, makerule.prerequisites(text))
        present = [path for path in step.scan.include_dirs if self._is_folder(path)]
        kept = tuple(sorted({*through, *present}))
        if not self._remember(key, reads, kept, folders):
            return Scan(failed=True)
        return self._scan(reads, kept)

    def _scan(self, reads: Iterable[str], folders: tuple[str, ...]) -> Scan:
        project: list[str] = []
        system: list[str] = []
        for path in reads:
            (project if host_path(path, self._mounts) is not None else system).append(path)
        return Scan(tuple(project), tuple(system), folders)

    # -- the key -------------------------------------------------------------------------------
    def _searched(self, scan: DepScan) -> tuple[str, ...]:
        """The folders whose names matter, outermost ones only."""
        wanted = {*scan.include_dirs, posixpath.dirname(scan.source)}
        outermost = [
            path
            for path in sorted(wanted)
            if not any(other != path and inside(path, other) for other in wanted)
        ]
        return (*outermost, _SYSTEM_INCLUDE)

    def _key(
        self, step: Step, scan: DepScan, tools: Mapping[str, Digest], folders: tuple[str, ...]
    ) -> bytes | None:
        names = self._names(folders)
        source = self._digest(scan.source)
        if names is None or source is None or self._store is None:
            return None
        parts = [
            _VERSION,
            list(scan.argv),
            step.cwd,
            [list(pair) for pair in step.env],
            scan.source,
            source,
            [[path, digest] for path, digest in sorted(tools.items())],
            list(folders),
            names,
        ]
        return b"scan" + sha256(cbor.encode(parts)).digest()

    def _names(self, folders: Iterable[str]) -> bytes | None:
        return self._listings.digest(host_path(path, self._mounts) or path for path in folders)

    # -- the memory ----------------------------------------------------------------------------
    def _recall(self, key: bytes | None) -> Scan | None:
        data = self._store.get(key) if self._store is not None and key is not None else None
        memory = _decode(data) if data is not None else None
        if memory is None:
            return None
        if any(self._digest(path) != digest for path, digest in memory.reads):
            return None
        if self._names(memory.beside) != memory.beside_names:
            return None
        return self._scan((path for path, _ in memory.reads), memory.folders)

    def _remember(
        self, key: bytes | None, reads: list[str], folders: tuple[str, ...], known: tuple[str, ...]
    ) -> bool:
        """Store the scan; False when a file it names has gone meanwhile."""
        digests = [(path, self._digest(path)) for path in reads]
        if any(digest is None for _, digest in digests):
            return False
        beside = self._beside(reads, known)
        names = self._names(beside)
        if key is not None and names is not None and len(reads) <= SCAN_READS_MAX:
            assert self._store is not None, "there is no key without a store"
            body = [[list(pair) for pair in digests], list(folders), list(beside), names]
            self._store.put(key, cbor.encode(body))
        return True

    def _beside(self, reads: list[str], known: tuple[str, ...]) -> tuple[str, ...]:
        parents = {
            posixpath.dirname(path) for path in reads if host_path(path, self._mounts) is not None
        }
        return tuple(
            path for path in sorted(parents) if not any(inside(path, other) for other in known)
        )

    def _digest(self, path: str) -> Digest | None:
        host = host_path(path, self._mounts)
        try:
            return self._outside.look(path)[0] if host is None else self._hasher.digest(Path(host))
        except OSError:
            return None

    # -- the probe -----------------------------------------------------------------------------
    def _probe(self, step: Step, scan: DepScan) -> str | None:
        """The make rule, or None when the compiler refuses."""
        cwd = host_path(step.cwd, self._mounts)
        assert cwd is not None, "plans are checked for that"
        try:
            done = subprocess.run(
                [self._as_host(word) for word in scan.argv],
                cwd=cwd,
                env=dict(step.env),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=SCAN_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        if done.returncode != 0 or len(done.stdout) > SCAN_OUTPUT_BYTES_MAX:
            return None
        try:
            return done.stdout.decode("utf-8")
        except UnicodeDecodeError:
            return None

    def _as_host(self, word: str) -> str:
        for mount in self._mounts:
            if os.fspath(mount.host) != mount.inside:
                word = word.replace(mount.inside, os.fspath(mount.host))
        return word

    def _reads(self, step: Step, names: Iterable[str]) -> tuple[list[str], set[str]]:
        """Paths as the sandbox sees them, and the folders that `..` in them goes through."""
        cwd = host_path(step.cwd, self._mounts)
        assert cwd is not None, "_probe has used it"
        found: dict[str, None] = {}
        through: set[str] = set()
        for name in names:
            written = os.path.join(cwd, name)  # noqa: PTH118
            path = os.path.normpath(written)
            if ".." in name:
                path = self._untangled(written, path, through)
            found[inside_path(path, self._mounts) or path] = None
        return list(found), through

    def _untangled(self, written: str, path: str, through: set[str]) -> str:
        """`a/b/../c.h` is `a/c.h` unless `a/b` is a link; and it needs `a/b` to be there."""
        parts = written.split("/")
        for index, part in enumerate(parts):
            if part == "..":
                before = os.path.normpath("/".join(parts[:index]) or "/")
                inner = inside_path(before, self._mounts)
                if inner is not None:
                    through.add(inner)
        try:
            same = os.path.samefile(written, path)  # noqa: PTH121
        except OSError:
            same = False
        return path if same else os.path.realpath(written)

    def _is_folder(self, path: str) -> bool:
        host = host_path(path, self._mounts)
        return host is not None and os.path.isdir(host)  # noqa: PTH112


def _decode(data: bytes) -> _Memory | None:
    """The inverse of what `_remember` stores; None for anything else."""
    try:
        item = cbor.decode(data)
    except WireError:
        return None
    match item:
        case [list(reads), list(folders), list(beside), bytes(names)]:
            if not all(_is_read(read) for read in reads):
                return None
            pairs = tuple((str(path), Digest(bytes(digest))) for path, digest in reads)
            return _Memory(pairs, tuple(map(str, folders)), tuple(map(str, beside)), names)
    return None


def _is_read(item: object) -> bool:
    match item:
        case [str(), bytes()]:
            return True
    return False
