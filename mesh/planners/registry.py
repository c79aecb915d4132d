"""`make_plan`: ask the planners in turn, check what the first one that applies returns.

Order, fixed, so that a directory always means the same:

1. `steps`: a vitte-dist.toml was written for us, so it wins.
2. `vitte`: a Vitte package or workspace.
3. `ninja`: a build directory made by CMake, Meson or a generator of the project's own.
4. Planners of other packages (entry-point group `vitte_mesh.planners`), by name.

A planner that does not apply says what it looked for, and NoPlan lists all of it. A single command
(Kind.COMMAND) needs no planner. Ours are imported directly, so that a source tree works without
being installed; an entry point with one of our names is ours and not loaded again.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import EntryPoint, entry_points

import attrs

from mesh.errors import BadPlanner, NoPlan
from mesh.planners.base import Kind, NotMine, Plan, Planner, PlanRequest
from mesh.planners.validate import check_plan

GROUP = "vitte_mesh.planners"

OURS = ("steps", "vitte", "ninja")


@attrs.define
class _Looked:
    """What was found when the folders of packages were as they were."""

    at: tuple[tuple[str, int], ...] = ()
    points: list[EntryPoint] = attrs.field(factory=list)


_looked = _Looked()


def make_plan(request: PlanRequest) -> Plan:
    """The checked plan for a request; its steps come in an order in which needs come first.

    Raises NoPlan, BadPlanner, and what `mesh.planners.validate.check_plan` and the planners raise.
    """
    if request.kind is Kind.COMMAND:
        from mesh.planners.command import plan_command

        return check_plan(plan_command(request))
    looked_for: list[str] = []
    for planner in load_planners():
        found = planner.plan(request)
        if isinstance(found, Plan):
            return check_plan(found)
        assert isinstance(found, NotMine), f"{planner.name} returned neither Plan nor NotMine"
        looked_for.append(found.looked_for)
    raise NoPlan(kind=request.kind.value, root=request.cwd, looked_for="; ".join(looked_for))


def load_planners() -> list[Planner]:
    """All there are, in the order in which they are asked. Raises BadPlanner."""
    from mesh.planners.ninja import NinjaPlanner
    from mesh.planners.steps import StepsPlanner
    from mesh.planners.vitte import VittePlanner

    ours: list[Planner] = [StepsPlanner(), VittePlanner(), NinjaPlanner()]
    assert tuple(planner.name for planner in ours) == OURS
    return [*ours, *_others()]


def _others() -> list[Planner]:
    """Every package is read to find them, so only when something was installed or removed."""
    now = tuple((folder, _changed_ns(folder)) for folder in sys.path)
    if _looked.at != now:
        found = {point.name: point for point in entry_points(group=GROUP) if point.name not in OURS}
        _looked.at, _looked.points = now, [found[name] for name in sorted(found)]
    return [_load(point) for point in _looked.points]


def _changed_ns(folder: str) -> int:
    try:
        return os.stat(folder or ".").st_mtime_ns  # noqa: PTH116
    except OSError:
        return 0


def _load(point: EntryPoint) -> Planner:
    try:
        planner: Planner = point.load()()
    except Exception as error:  # whatever a foreign package does
        raise BadPlanner(name=point.name, why=f"{type(error).__name__}: {error}") from error
    if not callable(getattr(planner, "plan", None)):
        raise BadPlanner(name=point.name, why=f"{point.value} has no method `plan`")
    return planner
