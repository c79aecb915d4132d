"""Which edges a target needs, and what their inputs come down to.

Phony edges are flattened: to need one is to need what it stands for. A phony edge without inputs
names a file that may be there or not (CMake lists its own modules that way).

Deliberately not here: time stamps. Whether something must run is the cache's business.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from pathlib import Path

import attrs

from mesh.errors import PlanCycle, UnknownTarget
from mesh.planners.ninja.evaluate import Edge
from mesh.planners.ninja.parser import Manifest, canonical
from mesh.planners.ninja.words import makes_thin_archive

_SHARED_LIBRARY = re.compile(r".*\.so(?:\.\d+)*")
_NEAREST_SHOWN = 3


@attrs.frozen
class Files:
    """What some paths of the manifest stand for: no phony ones among them."""

    hard: tuple[str, ...] = ()
    """Those whose change matters."""
    order: tuple[str, ...] = ()
    """Those that must merely be there first."""


class Graph:
    """A manifest with its questions answered; answers are remembered."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self._phony: dict[int, Files] = {}
        self._companions: dict[str, tuple[str, ...]] = {}

    # -- targets -------------------------------------------------------------------------------
    def targets(self, names: Iterable[str]) -> list[str]:
        """The paths that target names mean. Raises UnknownTarget."""
        return [self._target(name) for name in names]

    def defaults(self) -> list[str]:
        """ninja's default targets: those of `default`, or every output that nothing else uses."""
        if self.manifest.defaults:
            return list(dict.fromkeys(self.manifest.defaults))
        used: set[str] = set()
        for edge in self.manifest.edges:
            used.update(edge.inputs, edge.implicit, edge.order_only)
        return [path for path in self.manifest.producers if path not in used]

    def _target(self, name: str) -> str:
        path = canonical(name)
        if path in self.manifest.producers:
            return path
        relative = Path(name)
        if relative.is_absolute() and relative.is_relative_to(self.manifest.directory):
            path = relative.relative_to(self.manifest.directory).as_posix()
            if path in self.manifest.producers:
                return path
        near = difflib.get_close_matches(name, self.manifest.producers, n=_NEAREST_SHOWN)
        known = "did you mean " + ", ".join(f"`{each}`" for each in near) + "?" if near else ""
        raise UnknownTarget(name=name, near=known or "`ninja -t targets` lists them")

    # -- edges ---------------------------------------------------------------------------------
    def needed(self, targets: Iterable[str]) -> list[Edge]:
        """The edges that make the targets, phony ones included, each after those it needs.

        Raises PlanCycle.
        """
        producers = self.manifest.producers
        done: dict[int, Edge] = {}
        pending: list[str] = [path for path in targets if path in producers]
        seen: set[str] = set(pending)
        for path in pending:  # grows while we go: validations are further targets
            self._visit(producers[path], done, pending, seen)
        return list(done.values())

    def _visit(self, root: Edge, done: dict[int, Edge], pending: list[str], seen: set[str]) -> None:
        active: dict[int, Edge] = {}
        stack: list[tuple[Edge, bool]] = [(root, False)]
        while stack:
            edge, leaving = stack.pop()
            key = id(edge)
            if leaving:
                del active[key]
                done[key] = edge
                continue
            if key in done:
                continue
            if key in active:
                raise PlanCycle(cycle=_circle(list(active.values()), edge))
            active[key] = edge
            stack.append((edge, True))
            for path in reversed((*edge.inputs, *edge.implicit, *edge.order_only)):
                producer = self.manifest.producers.get(path)
                if producer is not None and id(producer) not in done:
                    stack.append((producer, False))
            for path in edge.validations:
                if path in self.manifest.producers and path not in seen:
                    seen.add(path)
                    pending.append(path)

    # -- files ---------------------------------------------------------------------------------
    def files_of(self, edge: Edge) -> Files:
        """The inputs of an edge without phony ones. `needed` must have accepted the edge, so that
        there is no circle."""
        hard: dict[str, None] = {}
        order: dict[str, None] = {}
        for path in (*edge.inputs, *edge.implicit):
            self._stand_for(path, hard, order)
        for path in edge.order_only:
            self._stand_for(path, order, order)
        return Files(tuple(hard), tuple(path for path in order if path not in hard))

    def _stand_for(self, path: str, hard: dict[str, None], order: dict[str, None]) -> None:
        producer = self.manifest.producers.get(path)
        if producer is None or not producer.is_phony:
            hard[path] = None
            return
        files = self._of_phony(producer)
        if not (files.hard or files.order) and (self.manifest.directory / path).exists():
            hard[path] = None
        hard.update(dict.fromkeys(files.hard))
        order.update(dict.fromkeys(files.order))

    def _of_phony(self, edge: Edge) -> Files:
        """What a phony edge stands for; inner ones first, without recursion, as chains of
        order-dependencies are as long as a project has libraries."""
        stack = [edge]
        while stack:
            top = stack[-1]
            inner = [
                producer
                for path in (*top.inputs, *top.implicit, *top.order_only)
                if (producer := self.manifest.producers.get(path)) is not None
                and producer.is_phony
                and id(producer) not in self._phony
            ]
            if inner:
                stack += inner
                continue
            stack.pop()
            if id(top) not in self._phony:
                self._phony[id(top)] = self.files_of(top)
        return self._phony[id(edge)]

    def companions(self, path: str) -> tuple[str, ...]:
        """Files that whoever reads `path` reads too: the members of a thin archive, and the shared
        libraries that a program or library was linked with."""
        known = self._companions.get(path)
        if known is not None:
            return known
        self._companions[path] = ()  # ends circles, which `needed` refuses anyway
        producer = self.manifest.producers.get(path)
        found: dict[str, None] = {}
        if producer is not None and not producer.is_phony:
            files = self.files_of(producer)
            direct = [each for each in files.hard + files.order if _SHARED_LIBRARY.fullmatch(each)]
            if path.endswith(".a") and makes_thin_archive(producer.command):
                direct += files.hard
            for each in direct:
                found[each] = None
                found.update(dict.fromkeys(self.companions(each)))
        self._companions[path] = tuple(found)
        return self._companions[path]


def _circle(active: list[Edge], edge: Edge) -> str:
    start = next(index for index, each in enumerate(active) if each is edge)
    return " -> ".join([*(each.outputs[0] for each in active[start:]), edge.outputs[0]])
