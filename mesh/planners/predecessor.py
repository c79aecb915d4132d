"""An earlier action of the same step that differs only in headers which the step does not read.

The include scanner finds more headers than the compiler opens, because it evaluates no conditions.
When one of those others changes, the action changes and its result does not. So the last action of
every scanned step is remembered, and when the present one has the same command and the same paths
but other contents, the compiler is asked once which files it reads: if none of them is among the
changed ones, the earlier action's result is as good.

Why that is right: both actions hold the same paths, so everything that is looked for is found or
missing in both; the compiler opens the same files with the same contents, one after the other.

Rules
- Only contents of scanned headers may differ; a declared input or a tool that differs, or one path
  more or less, is another action.
- The memory may forget at any time, which costs one run of the step.

Deliberately not here: looking for results.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from hashlib import sha256

import attrs

from mesh.action.model import Action, Toolchain, Tree, TreeEntry, inside
from mesh.planners.base import Step
from mesh.planners.scan import Scan, ScanStore
from mesh.types import DIGEST_BYTES, Digest
from mesh.wire import cbor
from mesh.wire.errors import WireError
from mesh.wire.schema import decode_struct

_Content = TreeEntry | Digest


@attrs.frozen
class Present:
    """An action as it would be run now."""

    step: Step
    action: Action
    digest: Digest
    tree: Tree
    tree_bytes: bytes
    toolchain: Toolchain
    toolchain_bytes: bytes
    scan: Scan


class Predecessors:
    """Remembers the last action of each step."""

    def __init__(self, store: ScanStore) -> None:
        self._store = store

    def find(self, present: Present, ask: Callable[[], Scan]) -> Digest | None:
        """The earlier action whose result is as good, or None; `ask` asks the compiler."""
        key = _key(present.action)
        data = self._store.get(key) or b""
        last = data[:DIGEST_BYTES]
        if last == present.digest:
            return None
        before = self._decode(data[DIGEST_BYTES:])
        if before is not None and _only_unread_differ(present, before, ask):
            return Digest(last)
        self._store.put(_tools_key(present.action.toolchain), present.toolchain_bytes)
        head = present.digest + present.action.toolchain
        self._store.put(key, head + present.tree_bytes)
        return None

    def _decode(self, data: bytes) -> Mapping[str, _Content] | None:
        """The contents of the earlier action; None when they are not remembered well."""
        tools = self._store.get(_tools_key(data[:DIGEST_BYTES]))
        if tools is None:
            return None
        try:
            tree = decode_struct(Tree, data[DIGEST_BYTES:])
            return _contents(tree, decode_struct(Toolchain, tools))
        except WireError:
            return None


def _only_unread_differ(
    present: Present, before: Mapping[str, _Content], ask: Callable[[], Scan]
) -> bool:
    now = _contents(present.tree, present.toolchain)
    if now.keys() != before.keys():
        return False
    differing = {path for path, content in now.items() if before[path] != content}
    headers = {*present.scan.project, *present.scan.system}
    if not differing <= headers or any(_is_declared(path, present.step) for path in differing):
        return False
    exact = ask()
    return not exact.failed and _is_disjoint(differing, exact)


def _is_disjoint(differing: Container[str], exact: Scan) -> bool:
    return not any(path in differing for path in (*exact.project, *exact.system))


def _is_declared(path: str, step: Step) -> bool:
    return any(path == each or inside(path, each) for each in step.inputs)


def _contents(tree: Tree, toolchain: Toolchain) -> dict[str, _Content]:
    """What is at each path; the platform counts like a tool."""
    found: dict[str, _Content] = {entry.path: entry for entry in tree.entries}
    found.update((tool.path, tool.digest) for tool in toolchain.tools)
    platform = sha256(toolchain.platform.encode()).digest()
    return {**found, "": Digest(platform)}


def _key(action: Action) -> bytes:
    """The same for all actions of a step, whatever it reads."""
    parts = [
        list(action.argv),
        [[each.name, each.value] for each in action.env],
        action.cwd,
        list(action.mounts),
        [[output.path, output.directory, output.optional] for output in action.outputs],
    ]
    return b"last" + sha256(cbor.encode(parts)).digest()


def _tools_key(digest: bytes) -> bytes:
    return b"tool" + digest
