"""The planner itself: find the build folder, read it, choose targets, make steps.

Where: the caller's folder, its `build`, or a folder named as a target (`vitte dist run build
out/debug`). What: the named targets, else ninja's defaults; for tests, everything and then the
tests of CTest, or the target `test` where there is no CTest; for bench, the target `bench` or
`benchmark`.

Edges with `dyndep` (Fortran, C++ modules) have an order that is only found out while building.
They, and only they, are left to ninja itself: one local step that runs it on their outputs.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import attrs

from mesh.action.model import OutputSpec
from mesh.errors import ToolNotFound
from mesh.planners.base import Kind, NotMine, Plan, PlanRequest, Step, counted
from mesh.planners.environment import step_env
from mesh.planners.ninja.ctest import TEST_FILE, TestMaker
from mesh.planners.ninja.evaluate import Edge
from mesh.planners.ninja.fresh import check_fresh, find_ninja
from mesh.planners.ninja.graph import Graph
from mesh.planners.ninja.layout import Layout, find_layout, read_cmake_cache
from mesh.planners.ninja.parser import parse_manifest
from mesh.planners.ninja.steps import StepMaker, outside_files

BUILD_FILE = "build.ninja"
_DYNDEP_STEP = "ninja:dyndep"


class NinjaPlanner:
    """See `mesh.planners.ninja`."""

    name = "ninja"

    def plan(self, request: PlanRequest) -> Plan | NotMine:
        """Raises ProjectFileError, StaleBuildFiles, UnknownTarget, DuplicateOutput, PlanCycle,
        PathEscapes, ToolNotFound."""
        build, names = find_build(request)
        if build is None:
            return NotMine(f"{BUILD_FILE} here or in ./build")
        graph = Graph(parse_manifest(build / BUILD_FILE))
        check_fresh(graph, read_cmake_cache(build).get("CMAKE_MAKE_PROGRAM", ""), request.env)
        targets = _targets(graph, build, request.kind, names)
        if isinstance(targets, NotMine):
            return targets
        edges = graph.needed(targets)
        layout = find_layout(build, outside_files(graph, edges))
        maker = StepMaker(graph, layout, request.env)
        steps, reasons = _steps(maker, edges)
        tests = _tests(maker, build, request.kind, names, steps)
        return Plan(
            planner=self.name,
            root=layout.source,
            mounts=layout.mounts,
            steps=(*steps, *tests),
            explanation=_explanation(build, steps, tests, reasons),
            build_dir=build,
        )


def find_build(request: PlanRequest) -> tuple[Path | None, tuple[str, ...]]:
    """The build folder, and the targets that are not its name."""
    cwd = request.cwd.resolve()
    for index, name in enumerate(request.targets):
        if (cwd / name / BUILD_FILE).is_file():
            rest = (*request.targets[:index], *request.targets[index + 1 :])
            return (cwd / name).resolve(), rest
    for folder in (cwd, cwd / "build"):
        if (folder / BUILD_FILE).is_file():
            return folder.resolve(), request.targets
    return None, request.targets


def _targets(graph: Graph, build: Path, kind: Kind, names: tuple[str, ...]) -> list[str] | NotMine:
    """The paths to be made."""
    if kind is Kind.TEST and (build / TEST_FILE).is_file():
        return graph.defaults()  # names choose among the tests
    if names:
        return graph.targets(names)
    if kind is Kind.BUILD:
        return graph.defaults()
    wanted = ("test", "check") if kind is Kind.TEST else ("bench", "benchmark")
    found = [name for name in wanted if name in graph.manifest.producers]
    if not found:
        asked = f"a target {' or '.join(wanted)} in {build / BUILD_FILE}"
        return NotMine(f"{TEST_FILE} or {asked}" if kind is Kind.TEST else asked)
    return [*graph.defaults(), found[0]]


def _steps(maker: StepMaker, edges: list[Edge]) -> tuple[list[Step], Counter[str]]:
    """Steps of all edges that run, and how many are local for which reason."""
    reasons: Counter[str] = Counter()
    steps: list[Step] = []
    left_to_ninja: list[Step] = []
    for edge in edges:
        if edge.is_phony or edge.flag("generator"):
            continue
        made = maker.make(edge)
        if edge.binding("dyndep"):
            left_to_ninja.append(made.step)
            continue
        if made.why_local:
            reasons[made.why_local] += 1
        steps.append(made.step)
    if left_to_ninja:
        left_to_ninja, steps = _absorb(left_to_ninja, steps)
        reasons["their order is found out while building (dyndep)"] += len(left_to_ninja)
        steps = _with_ninja(maker, steps, left_to_ninja)
    return _without_missing_needs(steps), reasons


def _absorb(left: list[Step], steps: list[Step]) -> tuple[list[Step], list[Step]]:
    """Move to `left` what lies between two of its members (a generator built from modules whose
    product is compiled as one): one step cannot come before and after another."""
    by_name = {step.name: step for step in (*left, *steps)}
    members = {step.name for step in left}
    after: set[str] = set()
    for step in steps:  # needs come first in the list, those of `left` aside
        if not (members | after).isdisjoint(step.needs):
            after.add(step.name)
    before: set[str] = set()
    pending = list(members)
    while pending:
        fresh = [need for need in by_name[pending.pop()].needs if need in by_name]
        pending += [need for need in fresh if need not in before]
        before.update(fresh)
    between = (after & before) - members
    moved = [step for step in steps if step.name in between]
    return [*left, *moved], [step for step in steps if step.name not in between]


def _with_ninja(maker: StepMaker, steps: list[Step], left: list[Step]) -> list[Step]:
    """One local step that runs ninja on what has a dyndep, in place of its steps."""
    layout, env = maker.layout, maker.env
    ninja = find_ninja(layout.make_program, env)
    if ninja is None:
        raise ToolNotFound(tool="ninja", how="install it: the project has dyndep edges")
    names = {step.name for step in left}
    outputs = {output.path: output for step in left for output in step.outputs}
    group = Step(
        name=_DYNDEP_STEP,
        argv=(ninja, "-C", layout.cwd, *(step.name for step in left)),
        cwd=layout.cwd,
        env=step_env((ninja,), env, extra=("PATH", "HOME")),
        inputs=tuple({path: None for step in left for path in step.inputs if path not in outputs}),
        needs=tuple({need: None for step in left for need in step.needs if need not in names}),
        outputs=tuple(OutputSpec(path, optional=True) for path in outputs),
        cacheable=False,
        local=True,
        display=f"ninja, for {len(left)} edges with dyndep",
    )
    return [group, *(attrs.evolve(step, needs=_renamed(step.needs, names)) for step in steps)]


def _renamed(needs: tuple[str, ...], names: set[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_DYNDEP_STEP if need in names else need for need in needs))


def _without_missing_needs(steps: list[Step]) -> list[Step]:
    """Needs that are no steps are generators', which have run: `check_fresh` has seen to it."""
    names = {step.name for step in steps}
    return [
        step
        if all(need in names for need in step.needs)
        else attrs.evolve(step, needs=tuple(need for need in step.needs if need in names))
        for step in steps
    ]


def _tests(
    maker: StepMaker, build: Path, kind: Kind, names: tuple[str, ...], steps: list[Step]
) -> list[Step]:
    if kind is not Kind.TEST or not (build / TEST_FILE).is_file():
        return []
    return TestMaker(maker, steps).make(build, names)


def _explanation(build: Path, steps: list[Step], tests: list[Step], reasons: Counter[str]) -> str:
    parts = [f"{counted(len(steps), 'step')} of `{build / BUILD_FILE}`"]
    if tests:
        parts.append(f"{counted(len(tests), 'test')} of CTest")
    parts += [f"{count} run here because {reason}" for reason, count in sorted(reasons.items())]
    return "; ".join(parts)


__all__ = ["Layout", "NinjaPlanner", "find_build"]
