"""Finds the vitte-dist.toml of a project and plans what was asked for."""

from __future__ import annotations

import difflib
import posixpath
from collections.abc import Iterable
from pathlib import Path

from mesh.action.model import PROJECT_MOUNT
from mesh.errors import UnknownTarget
from mesh.limits import PROJECT_SEARCH_DEPTH_MAX
from mesh.planners.base import Mount, NotMine, Plan, PlanRequest, Step, counted
from mesh.planners.globs import project_files
from mesh.planners.steps.expand import Expander
from mesh.planners.steps.file import FILE_NAME, ProjectFile, read_project_file

_NEAREST_SHOWN = 2
_KNOWN_SHOWN = 8


class StepsPlanner:
    """See `mesh.planners.steps`."""

    name = "steps"

    def plan(self, request: PlanRequest) -> Plan | NotMine:
        """Raises ProjectFileError, UnknownTarget, PathEscapes, PlanCycle, TooManyFiles."""
        path = find_above(request.cwd.resolve(), FILE_NAME)
        if path is None:
            return NotMine(f"{FILE_NAME} here or above")
        project = read_project_file(path)
        if not any(table.kind is request.kind for table in project.steps) and not request.targets:
            return NotMine(f'a [[step]] with kind = "{request.kind.value}" in {path}')
        root = path.parent
        expanded = Expander(project, project_files(root), request.env).run()
        steps = {step.name: step for each in expanded.values() for step in each}
        wanted = _wanted(project, expanded, request)
        chosen = _with_needs(wanted, steps)
        return Plan(
            planner=self.name,
            root=root,
            mounts=(Mount(root),),
            steps=tuple(step for name, step in steps.items() if name in chosen),
            explanation=f"{counted(len(chosen), 'step')} of `{path}` ({project.name})",
        )


def find_above(start: Path, name: str) -> Path | None:
    """The file called `name` in `start` or the nearest folder above it; not beyond the top of a
    git tree, so that a stray file in a shared folder above means nothing."""
    here = start
    for _ in range(PROJECT_SEARCH_DEPTH_MAX):
        if (here / name).is_file():
            return here / name
        if (here / ".git").exists() or here.parent == here:
            return None
        here = here.parent
    return None


def _wanted(
    project: ProjectFile, expanded: dict[str, list[Step]], request: PlanRequest
) -> list[str]:
    """Names of the steps that were asked for."""
    if not request.targets:
        kinds = {table.name: table.kind for table in project.steps}
        return [
            step.name
            for name, steps in expanded.items()
            if kinds[name] is request.kind
            for step in steps
        ]
    by_output = {
        posixpath.relpath(output.path, PROJECT_MOUNT): step.name
        for steps in expanded.values()
        for step in steps
        for output in step.outputs
    }
    single = {step.name for steps in expanded.values() for step in steps}
    found: list[str] = []
    for target in request.targets:
        if target in expanded:
            found += [step.name for step in expanded[target]]
        elif target in single:
            found.append(target)
        elif posixpath.normpath(target) in by_output:
            found.append(by_output[posixpath.normpath(target)])
        else:
            raise UnknownTarget(name=target, near=nearest(target, [*expanded, *by_output]))
    return found


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint that names the nearest known names, or the first few."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=_NEAREST_SHOWN)
    if near:
        return "did you mean " + " or ".join(f"`{each}`" for each in near) + "?"
    some = ", ".join(f"`{each}`" for each in names[:_KNOWN_SHOWN])
    return f"there are {some}" + (", ..." if len(names) > _KNOWN_SHOWN else "") if some else ""


def _with_needs(names: list[str], steps: dict[str, Step]) -> set[str]:
    chosen: set[str] = set()
    pending = list(names)
    while pending:
        name = pending.pop()
        if name not in chosen:
            chosen.add(name)
            pending += steps[name].needs
    return chosen
