"""The demo's project builds for real, with the machine's compiler and with zig."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from cli import demo_project
from mesh.errors import DemoUnavailable
from mesh.planners.base import Kind, Plan, PlanRequest, Step
from mesh.planners.steps import StepsPlanner

needs_ziglang = pytest.mark.skipif(find_spec("ziglang") is None, reason="ziglang is not installed")
needs_cc = pytest.mark.skipif(
    not (shutil.which("cc") and shutil.which("ar")), reason="no `cc` and `ar` on PATH"
)
NEEDED = (
    "crypt/",
    "math/__math_",
    "math/pow",
    "math/fma.c",
    "math/expm1.c",
    "math/exp_data.c",
    "math/scalbn.c",
)
"""The sources the program's answers need: compiling the other 180 takes longer and shows no more.
"""


def plan_of(root: Path) -> Plan:
    plan = StepsPlanner().plan(PlanRequest(Kind.BUILD, root, env=dict(os.environ)))
    assert isinstance(plan, Plan)
    return plan


def without(*missing: str) -> Callable[[str], str | None]:
    return lambda name: None if name in missing else shutil.which(name)


def run(step: Step, plan: Plan) -> None:
    """Run a step in the project itself; what it makes goes where the plan says."""
    (mount,) = plan.mounts

    def here(text: str) -> str:
        return text.replace(mount.inside, str(mount.host))

    for output in step.outputs:
        Path(here(output.path)).parent.mkdir(parents=True, exist_ok=True)
    argv = [here(word) for word in step.argv if not word.endswith(".o") or exists(word, step, plan)]
    cache = {name: str(plan.root / "zig-cache") for name, _ in step.env if name.startswith("ZIG_")}
    subprocess.run(
        argv, cwd=here(step.cwd), env={**dict(step.env), **cache}, check=True, timeout=60
    )


def exists(word: str, step: Step, plan: Plan) -> bool:
    """Whether an object file in a command was compiled, or is what the command makes."""
    made = {Path(output.path).name for output in step.outputs}
    return (plan.root / word).exists() or Path(word).name in made


@needs_ziglang
@pytest.mark.parametrize("compiler", [pytest.param("cc", marks=needs_cc), "zig"])
def test_the_project_builds_and_its_answers_are_right(
    compiler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if compiler == "zig":
        monkeypatch.setattr(shutil, "which", without("cc"))
    root = demo_project.prepare(tmp_path / "with space")
    plan = plan_of(root)
    for step in plan.steps:
        source = step.name.removeprefix("compile:musl/src/")
        if not step.name.startswith("compile:") or source.startswith(NEEDED):
            run(step, plan)
    answers = (root / "build" / "answers.txt").read_text().splitlines()
    assert answers[-1] == "all answers are right"
    assert [line for line in answers[:-1] if not line.startswith("ok ")] == []


@needs_ziglang
def test_it_is_a_project_of_many_foreign_sources_with_their_licence(tmp_path: Path) -> None:
    root = demo_project.prepare(tmp_path)
    steps = plan_of(root).steps
    compiled = [step for step in steps if step.name.startswith("compile:musl/")]
    assert len(compiled) >= 100
    assert all(step.scan is not None for step in compiled)
    assert "MIT license" in (root / "musl" / "COPYRIGHT").read_text()
    assert not list(root.rglob("*.o"))


@needs_ziglang
def test_preparing_twice_gives_the_same_project(tmp_path: Path) -> None:
    first = demo_project.prepare(tmp_path / "one")
    again = demo_project.prepare(tmp_path / "one")
    other = demo_project.prepare(tmp_path / "two")
    assert first == again
    assert contents(first) == contents(other)


def contents(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


def test_without_the_package_the_error_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_project, "find_spec", lambda name: None)
    with pytest.raises(DemoUnavailable) as caught:
        demo_project.prepare(tmp_path)
    assert "bootstrap.py" in caught.value.next_step()


def test_an_unknown_processor_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "vax")
    with pytest.raises(DemoUnavailable, match="vax"):
        demo_project.prepare(tmp_path)
