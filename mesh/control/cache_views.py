"""What the `cache_*` operations of the control socket answer. The rules are those of
`mesh.control.views`; nothing but `typing` is imported."""

from __future__ import annotations

from typing import TypedDict


class CacheStatsView(TypedDict):
    """`vitte.cache_stats/1`: `size_bytes` is of the contents, `disk_bytes` what they take;
    `damaged` since the node's start."""

    schema: str
    blobs: int
    size_bytes: int
    disk_bytes: int
    limit_bytes: int
    packed: int
    packs: int
    sources: int
    memory_bytes: int
    results: int
    pins: int
    leases: int
    damaged: int


class CacheBlobView(TypedDict):
    """One blob of `cache_ls`; `packed`: small, in a file with others."""

    id: str
    size_bytes: int
    packed: bool
    pinned: bool
    label: str


class CacheLsView(TypedDict):
    """`vitte.cache_ls/1`: those used last first, as many as were asked for, of `total`."""

    schema: str
    total: int
    blobs: list[CacheBlobView]
    pinned_elsewhere: list[str]
    """Pinned, and not in this store."""


class CacheGetView(TypedDict):
    """`vitte.cache_get/1`"""

    schema: str
    id: str
    size_bytes: int
    path: str


class CachePutView(TypedDict):
    """`vitte.cache_put/1`"""

    schema: str
    id: str
    size_bytes: int
    pinned: bool


class CachePinView(TypedDict):
    """`vitte.cache_pin/1`"""

    schema: str
    id: str
    pinned: bool
    was_pinned: bool


class CacheGcView(TypedDict):
    """`vitte.cache_gc/1`: `kept` blobs would have gone, were they not in use or pinned."""

    schema: str
    freed_bytes: int
    dropped: int
    kept: int
    disk_bytes: int


class CacheVerifyView(TypedDict):
    """`vitte.cache_verify/1`: `damaged` are the ids of what was set aside."""

    schema: str
    blobs: int
    size_bytes: int
    damaged: list[str]
    unreadable: int
