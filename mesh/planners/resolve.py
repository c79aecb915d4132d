"""From a step to its action: what exactly it would read, by content.

    resolver = Resolver(ResolverConfig(plan, hasher, store))
    resolved = resolver.resolve(step)

Called from worker threads, several at once, for a step whose needs are done and whose needs'
outputs have been placed in the project. It hashes the declared inputs, asks the compiler for
headers where the step has a `scan`, fingerprints the tools, and builds the action, whose digest is
the key of the cache.

Rules
- The action holds the step's own environment and nothing of ours.
- Files in mounts become inputs, files outside become toolchain entries; nothing is both.
- A scan that fails leaves the headers out and makes the action uncacheable: the compiler will
  report what is missing, and that report must not be taken for an answer later.

Deliberately not here: running, storing, scheduling.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import attrs

from mesh.action.model import (
    Action,
    EnvVar,
    OutputSpec,
    Tool,
    Toolchain,
    Tree,
    check_action,
    check_entries,
)
from mesh.errors import MissingInput, UnusablePath
from mesh.planners.base import Plan, Step
from mesh.planners.listing import Listings
from mesh.planners.outside import OutsideFiles
from mesh.planners.scan import Scan, Scanner, ScanStore
from mesh.planners.toolchain import Hasher, Toolchains, this_platform
from mesh.planners.tree import TreeBuilder
from mesh.planners.validate import host_path, shown
from mesh.types import Digest, digest_of
from mesh.wire.errors import WireError
from mesh.wire.schema import encode_struct


@attrs.frozen
class ResolverConfig:
    plan: Plan
    hasher: Hasher
    """A `mesh.cas.filehash.FileHasher`."""
    store: ScanStore | None = None
    """Memory of dependency scans; without one the compiler is asked every time."""
    toolchains: Toolchains | None = None
    """Shared between resolvers of one node, so that drivers are asked once."""
    platform: str = attrs.field(factory=this_platform)


@attrs.frozen
class Resolved:
    """An action and everything it refers to."""

    action: Action
    action_bytes: bytes
    digest: Digest
    """The key of the action cache: SHA-256 of `action_bytes`."""
    tree: Tree
    tree_bytes: bytes
    """The blob `action.inputs`."""
    toolchain: Toolchain
    toolchain_bytes: bytes
    """The blob `action.toolchain`."""
    sources: Mapping[Digest, Path]
    """Where the content of the tree's entries is on this machine."""
    inline: Mapping[Digest, bytes]
    """Content of entries that are in no file (response files)."""
    cacheable: bool
    uncacheable_why: str = ""
    reads: tuple[str, ...] = ()
    """What the scan found, as the sandbox sees it; for ninja's deps log."""
    newest_input_ns: int = 0
    """The latest mtime among the files read, as it was when they were hashed; for ninja's log."""


class Resolver:
    """See the module's head."""

    def __init__(self, config: ResolverConfig) -> None:
        self._plan = config.plan
        self._mounts = config.plan.mounts
        self._hasher = config.hasher
        self._platform = config.platform
        self._toolchains = config.toolchains or Toolchains(config.hasher)
        outputs = [output for step in config.plan.steps for output in step.outputs]
        self._made = frozenset(output.path for output in outputs)
        self._optional = frozenset(output.path for output in outputs if output.optional)
        made_here = {host_path(path, self._mounts) or path for path in self._made}
        self._outside = OutsideFiles(config.hasher)
        listings = Listings(frozenset(made_here))
        self.scanner = Scanner(self._mounts, config.hasher, self._outside, listings, config.store)

    def resolve(self, step: Step) -> Resolved:
        """The action of a step whose needs are done.

        Raises MissingInput, InputChanged, ToolNotFound, TooManyFiles, UnusablePath.
        """
        builder = TreeBuilder(self._mounts, self._hasher, self._made)
        self._add_inputs(builder, step)
        tools = self._toolchains.of_step(step, self._mounts)
        scan = self.scanner.scan(step, tools) if step.scan is not None else Scan()
        newest_ns = self._add_scan(builder, scan, tools)
        why = "" if step.cacheable else "the plan says that it must run"
        if scan.failed:
            why = "the compiler could not list the headers"
        try:
            resolved = self._pack(step, builder, tools, why)
        except (WireError, UnicodeError) as error:
            raise UnusablePath(path=step.cwd, step=step.name, why=error) from error
        newest_ns = max(newest_ns, builder.newest_ns)
        reads = (*scan.project, *scan.system)
        return attrs.evolve(resolved, reads=reads, newest_input_ns=newest_ns)

    def _add_inputs(self, builder: TreeBuilder, step: Step) -> None:
        for path in step.inputs:
            try:
                builder.add(path)
            except (FileNotFoundError, NotADirectoryError):
                # What a step may leave out cannot be demanded by those that need it.
                if path not in self._optional:
                    raise MissingInput(step=step.name, path=shown(path, self._mounts)) from None
        for path, content in step.response_files:
            builder.add_content(path, content)

    def _add_scan(self, builder: TreeBuilder, scan: Scan, tools: dict[str, Digest]) -> int:
        """Add what the scan found; returns the newest mtime of system files, in ns."""
        newest_ns = 0
        for path in scan.project:
            builder.add(path)
        for path in scan.folders:
            builder.add_folder(path)
        for path in scan.system:
            tools[path], mtime_ns = self._outside.look(path)
            newest_ns = max(newest_ns, mtime_ns)
        return newest_ns

    def _pack(
        self,
        step: Step,
        builder: TreeBuilder,
        tools: Mapping[str, Digest],
        uncacheable_why: str,
    ) -> Resolved:
        tree = builder.build()
        mounts = tuple(sorted(mount.inside for mount in self._mounts))
        check_entries(tree.entries, mounts)
        tree_bytes = encode_struct(tree)
        toolchain = Toolchain(
            self._platform, tuple(Tool(path, tools[path]) for path in sorted(tools))
        )
        toolchain_bytes = encode_struct(toolchain)
        action = Action(
            argv=step.argv,
            env=tuple(EnvVar(name, value) for name, value in sorted(step.env)),
            cwd=step.cwd,
            mounts=mounts,
            inputs=digest_of(tree_bytes),
            outputs=_sorted(step.outputs),
            toolchain=digest_of(toolchain_bytes),
        )
        check_action(action)
        action_bytes = encode_struct(action)
        return Resolved(
            action=action,
            action_bytes=action_bytes,
            digest=digest_of(action_bytes),
            tree=tree,
            tree_bytes=tree_bytes,
            toolchain=toolchain,
            toolchain_bytes=toolchain_bytes,
            sources=builder.sources,
            inline=builder.inline,
            cacheable=not uncacheable_why,
            uncacheable_why=uncacheable_why,
        )


def _sorted(outputs: tuple[OutputSpec, ...]) -> tuple[OutputSpec, ...]:
    return tuple(sorted(outputs, key=lambda output: output.path))
