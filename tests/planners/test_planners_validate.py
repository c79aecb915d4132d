"""What every plan must fulfil, and the order that comes out."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.action.model import PROJECT_MOUNT, OutputSpec
from mesh.errors import (
    BadPlan,
    DuplicateOutput,
    MissingInput,
    PathEscapes,
    PlanCycle,
    UnknownTarget,
)
from mesh.planners.base import Mount, Plan, Step
from mesh.planners.validate import check_plan, host_path, inside_path, shown

ROOT = Path("/nowhere/project")


def step(name: str, needs: tuple[str, ...] = (), **more: object) -> Step:
    return Step(name=name, argv=("true",), cwd=PROJECT_MOUNT, needs=needs, **more)


def plan_of(*steps: Step, root: Path = ROOT, mounts: tuple[Mount, ...] = ()) -> Plan:
    return Plan("test", root, mounts or (Mount(root),), steps, "")


@st.composite
def graphs(draw):
    """Steps that need only earlier ones, shuffled."""
    size = draw(st.integers(1, 12))
    steps = [
        step(str(index), tuple(map(str, draw(st.sets(st.integers(0, index - 1))))) if index else ())
        for index in range(size)
    ]
    return draw(st.permutations(steps))


@given(graphs())
def test_every_graph_without_a_circle_is_put_in_order(steps):
    order = [each.name for each in check_plan(plan_of(*steps)).steps]

    assert sorted(order) == sorted(each.name for each in steps)
    for each in steps:
        assert all(order.index(need) < order.index(each.name) for need in each.needs)


@given(graphs(), st.data())
def test_every_circle_is_found_and_shown(steps, data):
    chain = sorted(steps, key=lambda each: int(each.name))
    last = chain[-1]
    first = data.draw(st.sampled_from(chain))
    closed = [
        step(each.name, tuple({*each.needs, last.name}) if each.name == first.name else each.needs)
        for each in steps
    ]
    path = step("link", (first.name,)) if first is not last else None
    if path is not None:  # make sure that the last really needs the first
        closed = [
            step(each.name, (*each.needs, first.name)) if each.name == last.name else each
            for each in closed
        ]

    with pytest.raises(PlanCycle) as caught:
        check_plan(plan_of(*closed))

    names = str(caught.value.params["cycle"]).split(" -> ")
    needs = {each.name: each.needs for each in closed}
    assert names[0] == names[-1]
    assert all(after in needs[before] for before, after in pairwise(names))


def test_a_deep_chain_is_no_problem():
    steps = [step("0"), *(step(str(n), (str(n - 1),)) for n in range(1, 5000))]

    assert check_plan(plan_of(*reversed(steps))).steps[-1].name == "4999"


def test_two_makers_of_one_path():
    out = (OutputSpec(f"{PROJECT_MOUNT}/build/x"),)

    with pytest.raises(DuplicateOutput, match="`build/x` is an output of both `a` and `b`"):
        check_plan(plan_of(step("a", outputs=out), step("b", outputs=out)))


def test_an_input_that_nobody_has():
    with pytest.raises(MissingInput, match=r"`a` needs `src/x\.c`, which is not there"):
        check_plan(plan_of(step("a", inputs=(f"{PROJECT_MOUNT}/src/x.c",))))


def test_an_input_that_is_made_must_be_needed():
    path = f"{PROJECT_MOUNT}/x"
    maker = step("maker", outputs=(OutputSpec(path),))

    with pytest.raises(BadPlan, match="does not need `maker`"):
        check_plan(plan_of(maker, step("reader", inputs=(path,))))
    through = step("middle", ("maker",))
    check_plan(plan_of(maker, through, step("reader", ("middle",), inputs=(path,))))


def test_an_input_in_a_folder_that_is_made():
    maker = step("maker", outputs=(OutputSpec(f"{PROJECT_MOUNT}/gen", directory=True),))
    reader = step("reader", ("maker",), inputs=(f"{PROJECT_MOUNT}/gen/a.h",))

    check_plan(plan_of(maker, reader))


@pytest.mark.parametrize(
    "path", ["/etc/passwd", f"{PROJECT_MOUNT}/../x", "relative", PROJECT_MOUNT + "x"]
)
def test_paths_stay_in_the_mounts(path):
    with pytest.raises(PathEscapes):
        check_plan(plan_of(step("a", inputs=(path,))))
    with pytest.raises(PathEscapes):
        check_plan(plan_of(step("a", outputs=(OutputSpec(path),))))
    with pytest.raises(PathEscapes):
        check_plan(plan_of(step("a", response_files=((path, b""),))))


def test_needs_must_be_steps_and_names_unique():
    with pytest.raises(UnknownTarget, match="nobody"):
        check_plan(plan_of(step("a", ("nobody",))))
    with pytest.raises(BadPlan, match="two steps"):
        check_plan(plan_of(step("a"), step("a")))


@pytest.mark.parametrize("inside", ["/", "relative", "/a/../b"])
def test_what_cannot_be_a_mount(inside):
    with pytest.raises(BadPlan):
        check_plan(plan_of(step("a"), mounts=(Mount(ROOT, inside),)))


def test_paths_are_translated_both_ways():
    mounts = (Mount(Path("/h/one")), Mount(Path("/real/two"), "/said/two"))

    assert host_path(f"{PROJECT_MOUNT}/a", mounts) == "/h/one/a"
    assert host_path("/said/two", mounts) == "/real/two"
    assert host_path("/other", mounts) is None
    assert inside_path("/h/one/a", mounts) == f"{PROJECT_MOUNT}/a"
    assert inside_path("/real/two/b", mounts) == "/said/two/b"
    assert inside_path("/h/oneself", mounts) is None
    assert shown(f"{PROJECT_MOUNT}/a", mounts) == "a"
