"""What must be true of every plan, whoever made it.

Names are unique, needs exist and form no circle, no two steps make the same path, every path lies
in a mount, every input exists or is made by a step that comes before, and nothing exceeds its
limit. A planner of ours that breaks a rule because of the project raises the user's error; the
errors here name the project's own paths for the same reason.

Deliberately not here: whether the commands make sense.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable, Mapping

from mesh.action.model import inside
from mesh.errors import (
    BadPlan,
    DuplicateOutput,
    MissingInput,
    PathEscapes,
    PlanCycle,
    TooManyFiles,
    UnknownTarget,
)
from mesh.limits import MOUNTS_MAX, OUTPUTS_MAX, SHARDS_MAX
from mesh.planners.base import Mount, Plan, Step


def check_plan(plan: Plan) -> Plan:
    """Return the plan with its steps in an order in which needs come first.

    Raises BadPlan, UnknownTarget, PlanCycle, DuplicateOutput, PathEscapes, MissingInput,
    TooManyFiles.
    """
    steps = _by_name(plan)
    _check_mounts(plan)
    order = topological(steps)
    makers = _makers(order, plan.mounts)
    for step in order:
        _check_paths(plan, step)
        _check_inputs(plan, step, makers, steps)
    return _with_steps(plan, order)


def host_path(path: str, mounts: tuple[Mount, ...]) -> str | None:
    """Where a path inside the sandbox is on this machine; None when it is in no mount."""
    for mount in mounts:
        if inside(path, mount.inside):
            return os.fspath(mount.host) + path[len(mount.inside) :]
    return None


def inside_path(path: str, mounts: tuple[Mount, ...]) -> str | None:
    """Where a normal absolute path of this machine appears in the sandbox, if it does."""
    for mount in mounts:
        host = os.fspath(mount.host)
        if inside(path, host):
            return mount.inside + path[len(host) :]
        if inside(path, mount.inside):
            return path
    return None


def shown(path: str, mounts: tuple[Mount, ...]) -> str:
    """A sandbox path as people know it: relative to the project where the mount is made up."""
    for mount in mounts:
        if mount.inside != os.fspath(mount.host) and inside(path, mount.inside):
            return path[len(mount.inside) + 1 :] or "."
    return path


def topological(steps: Mapping[str, Step]) -> tuple[Step, ...]:
    """The steps, needs first, otherwise as given. Raises PlanCycle with the circle shown."""
    return tuple(steps[name] for name in needs_first(tuple(steps), lambda name: steps[name].needs))


def needs_first(names: tuple[str, ...], needs: Callable[[str], tuple[str, ...]]) -> list[str]:
    """All names and what they need, in an order where needs come first. Raises PlanCycle."""
    done: dict[str, None] = {}
    for root in names:
        path: dict[str, None] = {}
        stack: list[tuple[str, bool]] = [(root, False)]
        while stack:
            name, leaving = stack.pop()
            if leaving:
                del path[name]
                done[name] = None
                continue
            if name in done:
                continue
            if name in path:
                raise PlanCycle(cycle=_circle(path, name))
            path[name] = None
            stack.append((name, True))
            stack.extend((need, False) for need in reversed(needs(name)) if need not in done)
    return list(done)


def _circle(path: Mapping[str, None], name: str) -> str:
    names = list(path)
    return " -> ".join([*names[names.index(name) :], name])


def _by_name(plan: Plan) -> dict[str, Step]:
    if len(plan.steps) > SHARDS_MAX:
        raise TooManyFiles(what="the plan", count=len(plan.steps), limit=SHARDS_MAX)
    steps: dict[str, Step] = {}
    for step in plan.steps:
        if step.name in steps:
            raise BadPlan(planner=plan.planner, why=f"two steps are called `{step.name}`")
        if not step.argv or not step.argv[0]:
            raise BadPlan(planner=plan.planner, why=f"`{step.name}` has no command")
        steps[step.name] = step
    for step in plan.steps:
        for need in step.needs:
            if need not in steps:
                raise UnknownTarget(name=need, near=f"`{step.name}` needs it")
    return steps


def _check_mounts(plan: Plan) -> None:
    insides = [mount.inside for mount in plan.mounts]
    if not insides or len(insides) > MOUNTS_MAX:
        raise BadPlan(planner=plan.planner, why=f"it has {len(insides)} mounts")
    for path in insides:
        if not path.startswith("/") or path == "/" or posixpath.normpath(path) != path:
            raise BadPlan(planner=plan.planner, why=f"`{path}` cannot be a mount")
        if any(other is not path and inside(path, other) for other in insides):
            raise BadPlan(planner=plan.planner, why=f"the mount `{path}` lies in another")


def _makers(order: tuple[Step, ...], mounts: tuple[Mount, ...]) -> dict[str, str]:
    makers: dict[str, str] = {}
    for step in order:
        for output in step.outputs:
            first = makers.setdefault(output.path, step.name)
            if first != step.name:
                where = shown(output.path, mounts)
                raise DuplicateOutput(path=where, first=first, second=step.name)
    return makers


def _check_paths(plan: Plan, step: Step) -> None:
    if len(step.outputs) > OUTPUTS_MAX:
        what = f"the list of outputs of `{step.name}`"
        raise TooManyFiles(what=what, count=len(step.outputs), limit=OUTPUTS_MAX)
    outputs = [output.path for output in step.outputs]
    made_up = [path for path, _ in step.response_files]
    for path in (step.cwd, *step.inputs, *outputs, *made_up):
        normal = path.startswith("/") and posixpath.normpath(path) == path and "\0" not in path
        if not normal or host_path(path, plan.mounts) is None:
            raise PathEscapes(path=path, root=plan.root)


def _check_inputs(
    plan: Plan, step: Step, makers: Mapping[str, str], steps: Mapping[str, Step]
) -> None:
    for path in step.inputs:
        maker = makers.get(path)
        if maker is not None:
            if maker not in step.needs and not _comes_before(maker, step, steps):
                why = f"`{step.name}` reads `{path}` but does not need `{maker}`"
                raise BadPlan(planner=plan.planner, why=why)
            continue
        if _in_made_directory(path, step, steps):
            continue
        host = host_path(path, plan.mounts)
        assert host is not None, "_check_paths has seen it"
        if not os.path.lexists(host):
            raise MissingInput(step=step.name, path=shown(path, plan.mounts))


def _comes_before(maker: str, step: Step, steps: Mapping[str, Step]) -> bool:
    """Whether `step` needs `maker` through others."""
    seen: set[str] = set()
    pending = list(step.needs)
    while pending:
        name = pending.pop()
        if name == maker:
            return True
        if name not in seen:
            seen.add(name)
            pending += steps[name].needs
    return False


def _in_made_directory(path: str, step: Step, steps: Mapping[str, Step]) -> bool:
    return any(
        output.directory and inside(path, output.path)
        for need in step.needs
        for output in steps[need].outputs
    )


def _with_steps(plan: Plan, order: tuple[Step, ...]) -> Plan:
    return Plan(
        planner=plan.planner,
        root=plan.root,
        mounts=plan.mounts,
        steps=order,
        explanation=plan.explanation,
        build_dir=plan.build_dir,
    )
