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
from mesh.action.platform import platform_for
from mesh.errors import MissingInput, UnusablePath
from mesh.planners.base import Plan, Step
from mesh.planners.closure import IncludeConfig, IncludeScanner, ProjectView
from mesh.planners.listing import Listings
from mesh.planners.outside import OutsideFiles
from mesh.planners.predecessor import Predecessors, Present
from mesh.planners.scan import Scan, Scanner, ScanStore
from mesh.planners.systemheaders import IncludeMemory
from mesh.planners.toolchain import Hasher, Toolchains, Tools
from mesh.planners.tree import Seen, TreeBuilder
from mesh.planners.validate import host_path, shown
from mesh.types import Digest, digest_of
from mesh.wire.blobid import blob_id
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
    includes: IncludeMemory | None = None
    """Likewise: what headers mention."""
    platform: str = ""
    """Instead of this machine's own."""


class Glance:
    """What was looked up for steps that are resolved at one moment, by one thread: where their
    folders lead, which files are there, which tools they mean. Nothing that was made after it was
    begun is in it for certain: a step whose needs were placed since then wants a new one."""

    def __init__(self) -> None:
        self.seen = Seen()
        self.tools: dict[object, Tools] = {}
        self.toolchains: dict[
            tuple[str, tuple[tuple[str, Digest], ...]], tuple[Toolchain, bytes, Digest]
        ] = {}
        self.envs: dict[tuple[tuple[str, str], ...], tuple[EnvVar, ...]] = {}
        self.project = ProjectView()


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
    as_good: Digest | None = None
    """An earlier action whose result is this one's: only headers that are not read differ."""
    newest_input_ns: int = 0
    """The latest mtime among the files read, as it was when they were hashed; for ninja's log."""


class Resolver:
    """See the module's head."""

    def __init__(self, config: ResolverConfig) -> None:
        self._plan = config.plan
        self._mounts = config.plan.mounts
        self._insides = tuple(sorted(mount.inside for mount in self._mounts))
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
        self._predecessors = Predecessors(config.store) if config.store is not None else None
        memory = config.includes or IncludeMemory()
        self.includes = IncludeScanner(
            IncludeConfig(self._mounts, config.hasher, self._outside, memory, config.plan.steps)
        )

    def resolve(self, step: Step, glance: Glance | None = None) -> Resolved:
        """The action of a step whose needs are done; `glance` is shared by steps of one moment.

        Raises MissingInput, InputChanged, ToolNotFound, TooManyFiles, UnusablePath.
        """
        glance = glance or Glance()
        builder = TreeBuilder(self._mounts, self._hasher, self._made, glance.seen)
        self._add_inputs(builder, step)
        tools = self._toolchains.of_step(step, self._mounts, glance.tools)
        own_tools, found, scan = tools, None, Scan()
        if step.scan is not None:
            found = self.includes.scan(step, tools, glance.project)
            tools = dict(tools)
            scan = found or self.scanner.scan(step, own_tools)
            newest_ns = self._add_scan(builder, scan, tools)
            builder.newest_ns = max(builder.newest_ns, newest_ns)
        try:
            chain = _toolchain(tools, self._platform or _platform_of(step), glance)
            resolved = self._pack(step, builder, scan, chain, glance)
        except (WireError, UnicodeError) as error:
            raise UnusablePath(path=step.cwd, step=step.name, why=error) from error
        if found is None or self._predecessors is None:
            return resolved
        return self._with_predecessor(step, resolved, found, own_tools)

    def _with_predecessor(
        self, step: Step, resolved: Resolved, found: Scan, tools: Tools
    ) -> Resolved:
        """Only the include scanner finds headers that are not read."""
        assert self._predecessors is not None, "the caller has looked"
        present = Present(
            step,
            resolved.action,
            resolved.digest,
            resolved.tree,
            resolved.tree_bytes,
            resolved.toolchain,
            resolved.toolchain_bytes,
            found,
        )
        as_good = self._predecessors.find(present, lambda: self.scanner.scan(step, tools))
        return resolved if as_good is None else attrs.evolve(resolved, as_good=as_good)

    def tools(self, step: Step) -> Tools:
        """What the step's command runs. Raises ToolNotFound, InputChanged."""
        return self._toolchains.of_step(step, self._mounts)

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
        for path in scan.project:
            builder.add(path)
        for path in scan.folders:
            builder.add_folder(path)
        system, newest_ns = self._outside.look_at_all(scan.system)
        tools.update(system)
        return newest_ns

    def _pack(
        self,
        step: Step,
        builder: TreeBuilder,
        scan: Scan,
        tools: tuple[Toolchain, bytes, Digest],
        glance: Glance,
    ) -> Resolved:
        toolchain, toolchain_bytes, toolchain_digest = tools
        tree = builder.build()
        check_entries(tree.entries, self._insides)
        tree_bytes = encode_struct(tree)
        env = glance.envs.get(step.env)
        if env is None:
            env = tuple(EnvVar(name, value) for name, value in sorted(step.env))
            glance.envs[step.env] = env
        action = Action(
            argv=step.argv,
            env=env,
            cwd=step.cwd,
            mounts=self._insides,
            inputs=blob_id(tree_bytes),
            outputs=_sorted(step.outputs),
            toolchain=toolchain_digest,
        )
        check_action(action)
        action_bytes = encode_struct(action)
        why = "" if step.cacheable else "the plan says that it must run"
        if scan.failed:
            why = "the compiler could not list the headers"
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
            cacheable=not why,
            uncacheable_why=why,
            reads=(*scan.project, *scan.system),
            newest_input_ns=builder.newest_ns,
        )


def _toolchain(tools: Tools, platform: str, glance: Glance) -> tuple[Toolchain, bytes, Digest]:
    """With its bytes and their digest; steps with the same tools share all three."""
    rows = tuple(sorted(tools.items()))
    known = glance.toolchains.get((platform, rows))
    if known is None:
        toolchain = Toolchain(platform, tuple(Tool(path, digest) for path, digest in rows))
        data = encode_struct(toolchain)
        known = glance.toolchains[platform, rows] = (toolchain, data, blob_id(data))
    return known


def _platform_of(step: Step) -> str:
    made_up = (content.decode("utf-8", "replace") for _, content in step.response_files)
    return platform_for((*step.argv, *(value for _, value in step.env), *made_up))


def _sorted(outputs: tuple[OutputSpec, ...]) -> tuple[OutputSpec, ...]:
    return tuple(sorted(outputs, key=lambda output: output.path))
