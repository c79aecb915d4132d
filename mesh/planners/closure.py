"""Which headers a compilation might read, found in the sources themselves: an include scanner.

    IncludeScanner(config).scan(step, tools, view) -> Scan | None

From the source on, every name that a directive mentions is looked for in every folder in which the
compiler would look, and every file that is there is taken in and read likewise. The answer is a
superset of what the compiler will open or ask for, so each `#include` leads to the same file as in
the project itself; conditions are not evaluated. It costs a look at the file names where asking
the compiler (`mesh.planners.scan`) costs a preprocessing of everything.

Rules
- None means: ask the compiler. It is the answer as soon as anything is unusual: an option or
  variable not known to be harmless, a computed name, `..` through a link, a header that another
  step makes and this one does not wait for, very many files.
- System headers are followed too: a file of the project can take the place of one that only a
  system header names.
- What is outside the project is looked at once per run, as everywhere (`mesh.planners.outside`).

Used from several threads; what a thread learns of the project is in its `ProjectView`, which lasts
for one moment. Deliberately not here: what is in a text (`includes`), which folders (`searchpath`).
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable

import attrs

from mesh.limits import SCAN_READS_MAX
from mesh.planners import cc
from mesh.planners.base import Mount, Step
from mesh.planners.outside import OutsideFiles
from mesh.planners.scan import Scan
from mesh.planners.systemheaders import AskCompiler, IncludeMemory, SystemHeaders
from mesh.planners.toolchain import Hasher, Tools
from mesh.planners.validate import host_path, inside_path

_IMPLICIT = "stdc-predef.h"
"""gcc includes it before anything else, when it is there."""


@attrs.frozen
class _Direct:
    """What one file of the project mentions: paths in mounts, system files, folders of `..`."""

    project: tuple[str, ...]
    system: tuple[str, ...]
    through: tuple[str, ...]


_Folders = tuple[tuple[str, ...], tuple[str, ...]]
"""In mounts, as the sandbox sees them; and outside."""


class ProjectView:
    """The project as it was at one moment, for one thread."""

    def __init__(self) -> None:
        self.is_file: dict[str, bool] = {}
        self.direct: dict[tuple[str, _Folders], _Direct] = {}
        self.shadows: dict[tuple[str, _Folders], tuple[str, ...]] = {}
        self.folders: dict[tuple[object, ...], _Folders | None] = {}


@attrs.frozen
class IncludeConfig:
    mounts: tuple[Mount, ...]
    hasher: Hasher
    outside: OutsideFiles
    memory: IncludeMemory
    steps: tuple[Step, ...]


class IncludeScanner:
    """See the module's head."""

    def __init__(self, config: IncludeConfig) -> None:
        self._mounts = config.mounts
        self._hasher = config.hasher
        self._outside = config.outside
        self._memory = config.memory
        self._steps = {step.name: step for step in config.steps}
        self._makers = {out.path: step.name for step in config.steps for out in step.outputs}
        self._system = SystemHeaders(config.outside, config.memory)

    def scan(self, step: Step, tools: Tools, view: ProjectView) -> Scan | None:
        """The headers of a step that has a `scan`, or None. Raises InputChanged."""
        assert step.scan is not None, "only steps with a scan are scanned"
        try:
            folders = self._folders(step, tools, view)
            return None if folders is None else self._closure(step, folders, view)
        except (AskCompiler, OSError):
            return None

    # -- folders -------------------------------------------------------------------------------
    def _folders(self, step: Step, tools: Tools, view: ProjectView) -> _Folders | None:
        assert step.scan is not None, "see scan"
        call = cc.parse(step.scan.argv)
        if call is None or len(call.sources) != 1:
            return None
        options = tuple(option for option in call.options if option[0] not in call.sources)
        suffix = posixpath.splitext(call.sources[0])[1]
        key = (call.driver, options, suffix, step.cwd, step.env, tuple(tools.items()))
        if key not in view.folders:
            named = self._memory.paths.of(step, call, tools)
            view.folders[key] = None if named is None else self._sorted(step.cwd, named)
        return view.folders[key]

    def _sorted(self, cwd: str, named: Iterable[str]) -> _Folders:
        inner: dict[str, None] = {}
        outer: dict[str, None] = {}
        for name in named:
            path = posixpath.normpath(posixpath.join(cwd, name))
            inside = inside_path(path, self._mounts)
            if inside is None:
                outer[path] = None
                continue
            if ".." in name and not self._is_straight(cwd, name, inside):
                raise AskCompiler
            inner[inside] = None
        return tuple(inner), tuple(outer)

    def _is_straight(self, cwd: str, name: str, inside: str) -> bool:
        """Whether all `..` are at the start, and lead where they seem to lead."""
        climbs = name.rpartition("../")[0].replace("../", "") in ("", "..")
        host = self._host(inside)
        written = posixpath.join(self._host(cwd), name)
        return climbs and (not os.path.exists(host) or os.path.samefile(written, host))  # noqa: PTH110, PTH121

    # -- the closure ---------------------------------------------------------------------------
    def _closure(self, step: Step, folders: _Folders, view: ProjectView) -> Scan:
        assert step.scan is not None, "see scan"
        source = step.scan.source
        project: dict[str, None] = {source: None}
        roots: dict[str, None] = {}
        through: dict[str, None] = {}
        todo = [source]
        self._take(self._found((_IMPLICIT,), folders, (), view), project, todo)
        self._enter(self._system.find(_IMPLICIT, folders[1]), roots, folders, project, todo, view)
        while todo:
            path = todo.pop()
            self._check_maker(path, step)
            direct = self._direct(path, folders, view)
            through.update(dict.fromkeys(direct.through))
            self._take(direct.project, project, todo)
            self._enter(direct.system, roots, folders, project, todo, view)
            if len(project) > SCAN_READS_MAX:
                raise AskCompiler
        files = frozenset[str]().union(
            *(self._system.reach(root, folders[1]).files for root in roots)
        )
        present = [path for path in folders[0] if self._is_folder(path)]
        kept = tuple(sorted({*through, *present}))
        return Scan(tuple(project), tuple(sorted(files)), kept)

    def _take(self, found: Iterable[str], project: dict[str, None], todo: list[str]) -> None:
        for path in found:
            if path not in project:
                project[path] = None
                todo.append(path)

    def _enter(
        self,
        found: Iterable[str],
        roots: dict[str, None],
        folders: _Folders,
        project: dict[str, None],
        todo: list[str],
        view: ProjectView,
    ) -> None:
        """Follow system headers, as far as they might lead back into the project."""
        for root in found:
            if root in roots:
                continue
            roots[root] = None
            shadows = view.shadows.get((root, folders))
            if shadows is None:
                names = self._system.reach(root, folders[1]).names
                shadows = view.shadows[root, folders] = self._found(names, folders, (), view)
            self._take(shadows, project, todo)

    def _check_maker(self, path: str, step: Step) -> None:
        """A file that a step makes is only what it will be when that step is done."""
        maker = self._makers.get(path)
        if maker is not None and path not in step.inputs and not self._waits_for(step, maker):
            raise AskCompiler

    def _waits_for(self, step: Step, maker: str) -> bool:
        seen = {step.name}
        todo = list(step.needs)
        while todo:
            name = todo.pop()
            if name == maker:
                return True
            if name not in seen:
                seen.add(name)
                todo += self._steps[name].needs
        return False

    # -- one file of the project ---------------------------------------------------------------
    def _direct(self, path: str, folders: _Folders, view: ProjectView) -> _Direct:
        known = view.direct.get((path, folders))
        if known is not None:
            return known
        host = self._host(path)
        said = self._memory.directives(self._hasher.digest(host), host)
        through: dict[str, None] = {}
        beside = (posixpath.dirname(path),)
        project = (
            *self._found(said.quoted, folders, beside, view, through),
            *self._found(said.bracketed, folders, (), view, through),
        )
        names = (*said.quoted, *said.bracketed)
        system = tuple(each for name in names for each in self._system.find(name, folders[1]))
        direct = _Direct(tuple(dict.fromkeys(project)), system, tuple(through))
        view.direct[path, folders] = direct
        return direct

    def _found(
        self,
        names: Iterable[str],
        folders: _Folders,
        beside: tuple[str, ...],
        view: ProjectView,
        through: dict[str, None] | None = None,
    ) -> tuple[str, ...]:
        """Files of the project that the names might mean, as the sandbox sees them."""
        found: dict[str, None] = {}
        for name in names:
            for folder in (*beside, *folders[0]):
                path = f"{folder}/{name}"
                if self._is_file(path, view):
                    found[self._straight(path, through)] = None
        return tuple(found)

    def _straight(self, path: str, through: dict[str, None] | None) -> str:
        """The path without `..` and doubled slashes; the folders that `..` leaves must exist."""
        normal = posixpath.normpath(path)
        if ".." not in path:
            return normal
        host = self._host(path)
        inner = inside_path(os.path.normpath(host), self._mounts)
        if inner is None or through is None or not os.path.samefile(host, self._host(inner)):  # noqa: PTH121
            raise AskCompiler
        parts = path.split("/")
        for index, part in enumerate(parts):
            if part == "..":
                through[posixpath.normpath("/".join(parts[:index]) or "/")] = None
        return inner

    def _is_file(self, path: str, view: ProjectView) -> bool:
        known = view.is_file.get(path)
        if known is None:
            host = host_path(path, self._mounts)
            known = host is not None and os.path.isfile(host)  # noqa: PTH113
            view.is_file[path] = known
        return known

    def _is_folder(self, path: str) -> bool:
        return os.path.isdir(self._host(path))  # noqa: PTH112

    def _host(self, path: str) -> str:
        host = host_path(path, self._mounts)
        assert host is not None, f"{path} is in a mount: it was found there"
        return host
