"""Every project in examples/ is planned by our own planner, as its reader will do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mesh.planners.base import Kind, Plan, PlanRequest
from mesh.planners.registry import make_plan

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
PROJECTS = sorted(path.parent for path in EXAMPLES.rglob("vitte-dist.toml"))


def plan(root: Path, kind: Kind) -> Plan:
    return make_plan(PlanRequest(kind, root, env=dict(os.environ)))


def test_there_are_examples() -> None:
    assert [path.name for path in PROJECTS] == ["hello-c"]


@pytest.mark.parametrize("root", PROJECTS, ids=lambda path: path.name)
def test_every_example_has_something_to_build_and_to_test(root: Path) -> None:
    build = {step.name for step in plan(root, Kind.BUILD).steps}
    test = {step.name for step in plan(root, Kind.TEST).steps}
    assert build
    assert build < test, "testing builds first"


def test_hello_c_compiles_each_source_with_its_headers() -> None:
    steps = {step.name: step for step in plan(EXAMPLES / "hello-c", Kind.BUILD).steps}
    assert set(steps) == {"compile:src/greet.c", "compile:src/main.c", "link"}
    assert steps["compile:src/main.c"].scan is not None
    assert set(steps["link"].needs) == {"compile:src/greet.c", "compile:src/main.c"}
