"""An action is a pure function of its inputs; its digest is the key of the cache.

    Action = argv, env, cwd, mounts, input tree, outputs, toolchain   -> digest
    Result = what one builder saw when it ran that action             -> signed by the builder

Paths are POSIX and absolute *inside the sandbox*: every path lies in one of the action's mounts. A
planner that uses relative commands mounts the project at PROJECT_MOUNT, so that the same sources in
another directory, or on another machine, make the same key. A planner whose commands hold absolute
paths (CMake) mounts the project where it is.

Timeouts and memory limits are not part of the key: they never change a successful result, and only
successful results are cached.
"""

from __future__ import annotations

import posixpath
from functools import lru_cache

from mesh.limits import (
    ARGV_MAX,
    BLOB_BYTES_MAX,
    ENV_MAX,
    INLINE_BLOB_BYTES_MAX,
    MOUNTS_MAX,
    OUTPUT_FILES_BYTES_MAX,
    OUTPUTS_MAX,
    PATH_BYTES_MAX,
    TEXT_BYTES_MAX,
    TREE_ENTRIES_MAX,
)
from mesh.types import DIGEST_BYTES, Digest, NodeId, digest_of
from mesh.wire import schema
from mesh.wire.errors import WireError
from mesh.wire.schema import (
    array,
    boolean,
    c_struct,
    c_text,
    fixed,
    integer,
    struct,
    text,
    uint,
)

PROJECT_MOUNT = "/vitte/project"
"""Where a project appears in the sandbox when its commands do not say otherwise."""

FILE, EXECUTABLE, SYMLINK, DIRECTORY = range(4)
"""Kinds of tree entries. A SYMLINK's target is in `link`; a DIRECTORY is an empty one."""

_NO_DIGEST = Digest(bytes(DIGEST_BYTES))


@struct
class TreeEntry:
    """One path of an input tree or of a result's outputs."""

    path: str = text(PATH_BYTES_MAX)
    kind: int = uint(3)
    digest: Digest = fixed(DIGEST_BYTES, default=_NO_DIGEST)
    size_bytes: int = uint(BLOB_BYTES_MAX, default=0)
    link: str = text(PATH_BYTES_MAX, default="")


@struct
class Tree:
    """All inputs of an action, sorted by path. Stored as a blob; its digest is in the action."""

    entries: tuple[TreeEntry, ...] = array(c_struct(TreeEntry), TREE_ENTRIES_MAX)


@struct
class EnvVar:
    name: str = text(4096)
    value: str = text(TEXT_BYTES_MAX)


@struct
class OutputSpec:
    """A path the action promises to make; `optional` ones may be missing without failing it."""

    path: str = text(PATH_BYTES_MAX)
    directory: bool = boolean(default=False)
    optional: bool = boolean(default=False)


@struct
class Tool:
    """A file outside the project that the action reads: a compiler, a system header, a libc."""

    path: str = text(PATH_BYTES_MAX)
    digest: Digest = fixed(DIGEST_BYTES)


@struct
class Toolchain:
    """Everything outside the project that an action depends on. Stored as a blob.

    `platform` is `os-arch`, e.g. `linux-x86_64`. A node may run the action only if its own files
    at these paths have these digests.
    """

    platform: str = text(64)
    tools: tuple[Tool, ...] = array(c_struct(Tool), TREE_ENTRIES_MAX)


@struct
class Action:
    """See the module's head. `argv` is executed directly; a shell is `["/bin/sh", "-c", ...]`."""

    argv: tuple[str, ...] = array(c_text(1024 * 1024), ARGV_MAX)
    env: tuple[EnvVar, ...] = array(c_struct(EnvVar), ENV_MAX)
    cwd: str = text(PATH_BYTES_MAX)
    mounts: tuple[str, ...] = array(c_text(PATH_BYTES_MAX), MOUNTS_MAX)
    inputs: Digest = fixed(DIGEST_BYTES)
    outputs: tuple[OutputSpec, ...] = array(c_struct(OutputSpec), OUTPUTS_MAX)
    toolchain: Digest = fixed(DIGEST_BYTES)


@struct
class LogBlob:
    """Captured stdout or stderr: small ones inline, others by digest; `lost_bytes` were cut."""

    digest: Digest = fixed(DIGEST_BYTES, default=_NO_DIGEST)
    size_bytes: int = uint(default=0)
    lost_bytes: int = uint(default=0)
    inline: bytes = schema.blob(INLINE_BLOB_BYTES_MAX, default=b"")


@struct
class Result:
    """What `builder` saw when it ran `action` to its end. Cached only when `exit_status` is 0.

    `exit_status` is the process's, or minus the signal that ended it.
    """

    action: Digest = fixed(DIGEST_BYTES)
    builder: NodeId = fixed(32)
    exit_status: int = integer()
    outputs: tuple[TreeEntry, ...] = array(c_struct(TreeEntry), TREE_ENTRIES_MAX)
    stdout: LogBlob = schema.nested(LogBlob)
    stderr: LogBlob = schema.nested(LogBlob)
    duration_ms: int = uint()
    sandbox: str = text(32)


@struct
class SignedResult:
    """The exact bytes the builder signed, and its Ed25519 signature over RESULT_CONTEXT + them."""

    body: bytes = schema.blob(8 * 1024 * 1024)
    signature: bytes = fixed(64)


RESULT_CONTEXT = b"vitte-mesh result v1\0"
"""Prefix of what is signed, so that a signature can never be taken for one of another record."""


def action_digest(action: Action) -> Digest:
    """The key of the action cache: SHA-256 of the action's canonical CBOR."""
    return digest_of(schema.encode_struct(action))


@lru_cache(maxsize=8192)  # the actions of a run name the same headers again and again
def check_path(path: str, mounts: tuple[str, ...]) -> None:
    """Raise WireError unless `path` is absolute, normal and inside one of `mounts`."""
    if not path.startswith("/") or "\0" in path or posixpath.normpath(path) != path:
        raise WireError("path", f"{path!r} is not an absolute normal path")
    if not any(inside(path, mount) for mount in mounts):
        raise WireError("path-escapes", f"{path!r} is outside {mounts}")


def inside(path: str, mount: str) -> bool:
    """Whether `path` is `mount` or below it."""
    return path == mount or path.startswith(mount.rstrip("/") + "/")


def check_entries(entries: tuple[TreeEntry, ...], mounts: tuple[str, ...]) -> None:
    """Raise WireError for entries that leave the mounts, repeat, nest or link outside.

    A symbolic link may only point, relatively, to a path inside the mounts; nothing may lie below
    a link or below a file.
    """
    solid: set[str] = set()
    for entry in entries:
        check_path(entry.path, mounts)
        if entry.path in solid:
            raise WireError("path-twice", entry.path)
        solid.add(entry.path)
        if entry.kind == SYMLINK:
            target = posixpath.normpath(posixpath.join(posixpath.dirname(entry.path), entry.link))
            if entry.link.startswith("/") or "\0" in entry.link:
                raise WireError("link-escapes", f"{entry.path} -> {entry.link}")
            if not any(inside(target, mount) for mount in mounts):
                raise WireError("link-escapes", f"{entry.path} -> {entry.link}")
    leaves = {entry.path for entry in entries if entry.kind != DIRECTORY}
    folders: set[str] = set()  # known not to be leaves, with all that is above them
    for entry in entries:
        parent = entry.path.rpartition("/")[0]
        while parent and parent not in folders:
            if parent in leaves:
                raise WireError("path-below-file", entry.path)
            folders.add(parent)
            parent = parent.rpartition("/")[0]


def check_links(entries: tuple[TreeEntry, ...]) -> None:
    """Raise WireError for a link that goes down and then up again.

    `down` may be a link itself, and then `down/..` is not where it seems to be: two links that are
    inside each by itself could lead out together.
    """
    for entry in entries:
        if entry.kind == SYMLINK:
            parts = [part for part in entry.link.split("/") if part not in ("", ".")]
            ups = next((i for i, part in enumerate(parts) if part != ".."), len(parts))
            if ".." in parts[ups:]:
                raise WireError("link-escapes", f"{entry.path} -> {entry.link}")


def check_action(action: Action) -> None:
    """Raise WireError for an action whose paths are not what they should be."""
    if not action.argv or not action.argv[0]:
        raise WireError("argv", "empty")
    _check_mounts(action.mounts)
    check_path(action.cwd, action.mounts)
    for output in action.outputs:
        check_path(output.path, action.mounts)


@lru_cache(maxsize=64)  # the actions of a run have the same
def _check_mounts(mounts: tuple[str, ...]) -> None:
    if not mounts:
        raise WireError("mounts", "none")
    for mount in mounts:
        if mount == "/" or not mount.startswith("/") or posixpath.normpath(mount) != mount:
            raise WireError("mounts", repr(mount))


def check_outputs(entries: tuple[TreeEntry, ...], action: Action) -> None:
    """Raise WireError unless a result's outputs are what the action declared, no more and no less.

    Without this a builder could answer with a "result" that overwrites the project's sources, or
    have us fetch without end.
    """
    check_entries(entries, action.mounts)
    check_links(entries)
    if sum(entry.size_bytes for entry in entries) > OUTPUT_FILES_BYTES_MAX:
        raise WireError("outputs-too-large")
    files = {spec.path for spec in action.outputs if not spec.directory}
    folders = [spec.path for spec in action.outputs if spec.directory]
    for entry in entries:
        if entry.path not in files and not any(inside(entry.path, folder) for folder in folders):
            raise WireError("undeclared-output", entry.path)
        if entry.path in folders and entry.kind != DIRECTORY:
            raise WireError("output-kind", f"{entry.path} is to be a directory")
    made = {entry.path for entry in entries}
    for spec in action.outputs:
        if not spec.optional and not spec.directory and spec.path not in made:
            raise WireError("output-missing", spec.path)
