"""The control socket's `cache_*` operations: this node's blob store, for people.

Whatever walks the store or reads much of it runs in a worker thread. Not here: other nodes' stores.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mesh.cas.blobs import BlobMissing, BlobStore
from mesh.cas.files import broken_disk_as_error
from mesh.cas.scrub import check
from mesh.control.cache_views import (
    CacheGcView,
    CacheGetView,
    CacheLsView,
    CachePinView,
    CachePutView,
    CacheStatsView,
    CacheVerifyView,
)
from mesh.control.outbox import Outbox
from mesh.control.server import Handler
from mesh.errors import AmbiguousBlob, BadRequest, CannotPlace, NoSuchBlob
from mesh.limits import CACHE_LS_MAX, SCRUB_STEP_BYTES
from mesh.ports.disk import NotPlainFile
from mesh.types import DIGEST_BYTES, Digest

if TYPE_CHECKING:
    from mesh.node.node import Node

PREFIX_DIGITS_MIN = 4


def cache_handlers(node: Node) -> dict[str, Handler]:
    """`cache_stats`, `cache_ls`, `cache_get`, `cache_put`, `cache_pin`, `cache_gc`,
    `cache_verify`."""
    run_sync = node.env.exec.run_sync

    async def stats(_params: dict[str, Any], _emit: Outbox) -> Mapping[str, Any]:
        return await run_sync(_stats, node)

    async def ls(params: dict[str, Any], _emit: Outbox) -> Mapping[str, Any]:
        limit = min(max(params["limit"], 0), CACHE_LS_MAX)
        return await run_sync(_list, node.workshop.store, params["pinned"], limit)

    async def get(params: dict[str, Any], _emit: Outbox) -> Mapping[str, Any]:
        return await run_sync(_get, node.workshop.store, params["blob"], _path(params["path"]))

    async def put(params: dict[str, Any], _emit: Outbox) -> Mapping[str, Any]:
        store, path = node.workshop.store, _path(params["path"])
        return await run_sync(_put, store, path, params["pin"])

    async def pin(params: dict[str, Any], _emit: Outbox) -> Mapping[str, Any]:
        label = None if params["remove"] else params["label"]
        return await run_sync(_pin, node.workshop.store, params["blob"], label)

    async def gc(params: dict[str, Any], _emit: Outbox) -> Mapping[str, Any]:
        asked = params["keep_bytes"]
        keep_bytes = node.config.cache_bytes_max if asked is None else max(0, asked)
        return await run_sync(_gc, node.workshop.store, keep_bytes)

    async def verify(_params: dict[str, Any], emit: Outbox) -> Mapping[str, Any]:
        return await _verify(node, emit)

    return {
        "cache_stats": stats,
        "cache_ls": ls,
        "cache_get": get,
        "cache_put": put,
        "cache_pin": pin,
        "cache_gc": gc,
        "cache_verify": verify,
    }


def find_blob(store: BlobStore, text: str) -> Digest:
    """The one blob whose id begins with `text`. Raises NoSuchBlob, AmbiguousBlob."""
    wanted = text.strip().lower()
    if len(wanted) == 2 * DIGEST_BYTES:
        try:
            digest = Digest(bytes.fromhex(wanted))
        except ValueError:
            raise NoSuchBlob(blob=text) from None
        if store.has(digest):
            return digest
        raise NoSuchBlob(blob=text)
    if len(wanted) < PREFIX_DIGITS_MIN:
        raise NoSuchBlob(blob=text)
    found = {e.digest for e in store.entries() if e.digest.hex().startswith(wanted)}
    if len(found) > 1:
        raise AmbiguousBlob(blob=text, count=len(found))
    if not found:
        raise NoSuchBlob(blob=text)
    (digest,) = found
    return digest


def _path(text: str) -> Path:
    if not text.startswith("/") or "\0" in text:
        raise BadRequest(why="a path must be absolute")
    return Path(text)


def _stats(node: Node) -> CacheStatsView:
    with broken_disk_as_error():
        found = node.workshop.store.stats()
    return {
        "schema": "vitte.cache_stats/1",
        "blobs": found.blobs,
        "size_bytes": found.size_bytes,
        "disk_bytes": found.disk_bytes,
        "limit_bytes": node.config.cache_bytes_max,
        "packed": found.packed,
        "packs": found.packs,
        "sources": found.sources,
        "memory_bytes": found.memory_bytes,
        "results": len(node.runtime.results) if node.in_mesh else 0,
        "pins": found.pins,
        "leases": found.leases,
        "damaged": found.damaged,
    }


def _list(store: BlobStore, pinned: bool, limit: int) -> CacheLsView:
    pins = store.keep.pins
    with broken_disk_as_error():
        entries = [each for each in store.entries() if not pinned or each.digest in pins]
    here = {each.digest for each in entries}
    shown = sorted(entries, key=lambda each: (-each.used, -each.size_bytes, each.digest))
    return {
        "schema": "vitte.cache_ls/1",
        "total": len(entries),
        "blobs": [
            {
                "id": each.digest.hex(),
                "size_bytes": each.size_bytes,
                "packed": each.packed,
                "pinned": each.digest in pins,
                "label": pins.get(each.digest, ""),
            }
            for each in islice(shown, limit)
        ],
        "pinned_elsewhere": sorted(digest.hex() for digest in pins if digest not in here),
    }


def _get(store: BlobStore, text: str, path: Path) -> CacheGetView:
    digest = find_blob(store, text)
    try:
        store.copy_out(digest, path)
    except BlobMissing:
        raise NoSuchBlob(blob=text) from None
    except OSError as error:
        raise CannotPlace(path=str(path), why=error.strerror or str(error)) from None
    size_bytes = store.size(digest)
    return {
        "schema": "vitte.cache_get/1",
        "id": digest.hex(),
        "size_bytes": size_bytes,
        "path": str(path),
    }


def _put(store: BlobStore, path: Path, label: str | None) -> CachePutView:
    try:
        digest, size_bytes = store.put_file(path)
    except NotPlainFile:
        raise BadRequest(why=f"`{path}` is no regular file") from None
    except OSError as error:
        if error.errno in (errno.EIO, errno.EROFS) or error.filename != str(path):
            with broken_disk_as_error():
                raise
        raise BadRequest(why=f"`{path}` cannot be read: {error.strerror}") from None
    store.sync()
    if label is not None:
        with broken_disk_as_error():
            store.keep.pin(digest, label)
    return {
        "schema": "vitte.cache_put/1",
        "id": digest.hex(),
        "size_bytes": size_bytes,
        "pinned": label is not None,
    }


def _pin(store: BlobStore, text: str, label: str | None) -> CachePinView:
    """None as the label unpins."""
    pins = store.keep.pins
    if label is None:
        matching = [each for each in pins if each.hex().startswith(text.strip().lower())]
        if len(matching) > 1:
            raise AmbiguousBlob(blob=text, count=len(matching))
        if not matching:
            raise NoSuchBlob(blob=text)
        digest = matching[0]
        with broken_disk_as_error():
            store.keep.unpin(digest)
    else:
        digest = find_blob(store, text)
        with broken_disk_as_error():
            store.bring_in(digest)
            store.sync()
            store.keep.pin(digest, label)
    return {
        "schema": "vitte.cache_pin/1",
        "id": digest.hex(),
        "pinned": label is not None,
        "was_pinned": digest in pins,
    }


def _gc(store: BlobStore, keep_bytes: int) -> CacheGcView:
    with broken_disk_as_error():
        done = store.trim(keep_bytes)
    return {
        "schema": "vitte.cache_gc/1",
        "freed_bytes": done.freed_bytes,
        "dropped": done.dropped,
        "kept": done.kept,
        "disk_bytes": store.size_bytes,
    }


async def _verify(node: Node, emit: Outbox) -> CacheVerifyView:
    """Read everything, in steps that can be stopped between."""
    store, run_sync = node.workshop.store, node.env.exec.run_sync
    entries = store.entries()
    blobs = size_bytes = unreadable = 0
    damaged: list[str] = []
    while True:
        step = await run_sync(check, store, entries, SCRUB_STEP_BYTES)
        blobs, size_bytes = blobs + step.blobs, size_bytes + step.size_bytes
        unreadable += step.unreadable
        damaged += [digest.hex() for digest in step.damaged]
        if step.size_bytes < SCRUB_STEP_BYTES:
            break
        emit({"event": "cache_checked", "blobs": blobs, "size_bytes": size_bytes})
    return {
        "schema": "vitte.cache_verify/1",
        "blobs": blobs,
        "size_bytes": size_bytes,
        "damaged": damaged,
        "unreadable": unreadable,
    }
