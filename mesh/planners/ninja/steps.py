"""Edges to steps.

Rules
- A compilation by a gcc- or clang-like driver that writes a depfile gets a `scan`: its inputs are
  the declared ones and the headers that the compiler itself names. Order-only inputs are needs, not
  inputs, so that one generated header that changes does not recompile what does not include it.
- Every other edge gets its declared inputs, order-only ones included (what must be there first may
  be read), the files that its command names, and what goes with those (members of thin archives,
  shared libraries of programs).
- What we cannot know enough about runs in place on this machine and is not cached: `why_local`.
- Files of the system are tools, not inputs.

Pools other than `console` limit what one machine does at once; slots do that here, so their depths
are not used.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Container, Iterable, Mapping

import attrs

from mesh.action.model import OutputSpec, inside
from mesh.errors import PathEscapes
from mesh.planners import cc
from mesh.planners.base import DepScan, NinjaNote, Step
from mesh.planners.environment import step_env
from mesh.planners.ninja import words
from mesh.planners.ninja.evaluate import Edge
from mesh.planners.ninja.graph import Files, Graph
from mesh.planners.ninja.layout import Layout, is_system
from mesh.planners.validate import host_path

_DISPLAY_MAX = 200
_LINKED = re.compile(r".*\.(?:a|o|lo|so(?:\.\d+)*)")


@attrs.frozen
class Made:
    """A step, and why it is local if it is."""

    step: Step
    why_local: str


@attrs.frozen
class StepMaker:
    """Makes steps of the edges of one graph."""

    graph: Graph
    layout: Layout
    env: Mapping[str, str]

    def make(self, edge: Edge) -> Made:
        """The step of one edge that is not phony. Raises PathEscapes, ProjectFileError."""
        command = edge.command
        files = self.graph.files_of(edge)
        rspfile = edge.binding("rspfile", escape=False)
        call = words.compiler_call(command, rspfile, edge.binding("rspfile_content"))
        scan = self._scan(edge, call)
        reason = self.why_local(edge, scan)
        named = () if scan is not None else self._named(command)
        read = files.hard if scan is not None else self._all_files(files, named, command)
        inputs, tools = self._split(read, {*edge.inputs, *edge.implicit, *named})
        depfile = self._depfile(edge)
        outputs = self._outputs(edge, depfile)
        step = Step(
            name=edge.outputs[0],
            argv=("/bin/sh", "-c", command),
            cwd=self.layout.cwd,
            env=self._step_env(command),
            inputs=tuple(path for path in inputs if path not in outputs),
            needs=self._needs((*files.hard, *files.order, *read), edge),
            outputs=tuple(outputs.values()),
            tools=tools,
            scan=scan if not reason else None,
            cacheable=not reason,
            local=bool(reason),
            display=(edge.binding("description") or command)[:_DISPLAY_MAX],
            response_files=self._response_files(edge),
            depfile=depfile,
            ninja=self._note(edge, files),
        )
        return Made(step, reason)

    def why_local(self, edge: Edge, scan: DepScan | None) -> str:
        """The reason why an edge runs in place on this machine, or ""."""
        tool = words.runs_build_tool(edge.command)
        unknown_reads = scan is None and bool(edge.binding("depfile"))
        reasons = {
            "it uses the console": edge.binding("pool") == "console",
            "it generates the build files": edge.flag("generator"),
            f"it calls {tool}": bool(tool),
            "it uses a precompiled header": words.uses_pch((*edge.outputs, *edge.implicit)),
            "it reports headers the way of MSVC": edge.binding("deps") == "msvc",
            "it reads files that only a depfile names, and no compiler can be asked": unknown_reads,
            "it is a target that makes no file": is_custom_target(edge),
        }
        return next((reason for reason, holds in reasons.items() if holds), "")

    # -- inputs --------------------------------------------------------------------------------
    def _scan(self, edge: Edge, call: cc.CompilerCall | None) -> DepScan | None:
        if call is None or not edge.binding("depfile"):
            return None
        probe = cc.dependency_probe(call)
        source = self.layout.inside(call.sources[0]) if call.sources else None
        if probe is None or source is None:
            return None
        found = [self.layout.inside(folder) for folder in call.include_dirs]
        return DepScan(probe, source, tuple(folder for folder in found if folder is not None))

    def _all_files(self, files: Files, named: Iterable[str], command: str) -> tuple[str, ...]:
        """Declared files, named files, and what goes with them."""
        order = files.order
        if words.is_plain(command):  # of what merely comes first, a linker reads only libraries
            order = tuple(path for path in order if _LINKED.fullmatch(path))
        found = dict.fromkeys((*files.hard, *order, *named))
        for path in tuple(found):
            found.update(dict.fromkeys(self.graph.companions(path)))
        return tuple(found)

    def _named(self, command: str) -> tuple[str, ...]:
        """Existing files of the project that the command names and nobody makes."""
        folders = words.copies_folders(command)
        found: dict[str, None] = {}
        for path in words.named_paths(command, self.layout.cwd):
            host = host_path(path, self.layout.mounts)
            if host is None or self.relative(path) in self.graph.manifest.producers:
                continue
            if os.path.isfile(host) or (folders and self._is_source_folder(path, host)):  # noqa: PTH113
                found[path] = None
        return tuple(found)

    def _is_source_folder(self, path: str, host: str) -> bool:
        return os.path.isdir(host) and not inside(self.layout.cwd, path)  # noqa: PTH112

    def _split(
        self, paths: Iterable[str], folders: Container[str]
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Inputs (inside paths) and tools (files of the system); folders only if in `folders`."""
        inputs: dict[str, None] = {}
        tools: dict[str, None] = {}
        for name in paths:
            path = self.layout.inside(name)
            if path is None:
                tools[posixpath.normpath(posixpath.join(self.layout.cwd, name))] = None
            elif not self._is_mere_folder(name, path, folders):
                inputs[path] = None
        return tuple(inputs), tuple(tools)

    def _is_mere_folder(self, name: str, path: str, folders: Container[str]) -> bool:
        """Whether the path is a folder that is only waited for, or holds the build folder."""
        host = host_path(path, self.layout.mounts)
        if host is None or name in self.graph.manifest.producers or not os.path.isdir(host):  # noqa: PTH112
            return False
        return name not in folders or inside(self.layout.cwd, path)

    def _needs(self, paths: Iterable[str], edge: Edge) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for path in paths:
            producer = self.graph.manifest.producers.get(path)
            if producer is not None and not producer.is_phony and producer is not edge:
                found[producer.outputs[0]] = None
        return tuple(found)

    # -- outputs -------------------------------------------------------------------------------
    def _outputs(self, edge: Edge, depfile: str) -> dict[str, OutputSpec]:
        """By path: CMake names one file twice, relative and absolute."""
        found: dict[str, OutputSpec] = {}
        # Ninja does not insist on outputs, and custom commands make use of that.
        optional = edge.rule.name == "CUSTOM_COMMAND" or edge.flag("generator")
        for name in edge.outputs:
            path = self.layout.inside(name)
            if path is None:
                raise PathEscapes(path=name, root=self.layout.source)
            found[path] = OutputSpec(path, optional=optional)
        if depfile:
            found.setdefault(depfile, OutputSpec(depfile, optional=True))
        return found

    def _depfile(self, edge: Edge) -> str:
        name = edge.binding("depfile", escape=False)
        return (self.layout.inside(name) or "") if name else ""

    def _response_files(self, edge: Edge) -> tuple[tuple[str, bytes], ...]:
        name = edge.binding("rspfile", escape=False)
        path = self.layout.inside(name) if name else None
        if name and path is None:
            raise PathEscapes(path=name, root=self.layout.source)
        return ((path, edge.binding("rspfile_content").encode()),) if path is not None else ()

    def _step_env(self, command: str) -> tuple[tuple[str, str], ...]:
        # A script may start any program on the caller's PATH; a compiler does not.
        extra = () if words.is_plain(command) else ("PATH",)
        return step_env(words.programs(command), self.env, extra)

    def _note(self, edge: Edge, files: Files) -> NinjaNote | None:
        if edge.flag("generator"):
            return None
        return NinjaNote(
            outputs=edge.outputs,
            command=edge.logged_command,
            inputs=files.hard,
            deps=edge.binding("deps"),
            depfile=edge.binding("depfile", escape=False),
            restat=edge.flag("restat"),
        )

    def relative(self, path: str) -> str:
        """A sandbox path as the manifest writes it."""
        if inside(path, self.layout.cwd) and path != self.layout.cwd:
            return path[len(self.layout.cwd) + 1 :]
        return path


def is_custom_target(edge: Edge) -> bool:
    """CMake's `add_custom_target`: a command whose output is a name that never becomes a file."""
    if edge.rule.name != "CUSTOM_COMMAND" or len(edge.outputs) > 2:
        return False
    folder, name = posixpath.split(edge.outputs[0])
    return posixpath.basename(folder) == "CMakeFiles" and "." not in name.removesuffix(".util")


def outside_files(graph: Graph, edges: Iterable[Edge]) -> list[str]:
    """Leaf inputs and outputs of edges that may lie outside the obvious folders."""
    found: dict[str, None] = {}
    for edge in edges:
        if not edge.is_phony:
            files = graph.files_of(edge)
            found.update(dict.fromkeys((*edge.outputs, *files.hard)))
    return [path for path in found if path.startswith(("/", "..")) and not is_system(path)]
