"""Vitte packages and workspaces. The compiler is a stand-in: the language's own is not on the
machines that run these tests, and only its command line matters here."""

import os
import shutil

import pytest
from planning import Runner, plan, step_named, write

from mesh.errors import (
    NoPlan,
    PathEscapes,
    PlanCycle,
    ProjectFileError,
    ToolNotFound,
    UnknownTarget,
)
from mesh.planners.base import Kind

COMPILER = """#!/bin/sh
# vitte-bootstrap <check|build|run> INPUT [-o OUT]
set -e
test -r "$2"
case $1 in
  check) ;;
  build) cat "$2" > "$4" ;;
  run) grep -q "proc main" "$2" ;;
  *) exit 2 ;;
esac
"""
SOURCE = "space {}\nproc main() -> int {{ give 0; }}\n"

WORKSPACE = """{
  "schema": "vitte.workspace.v1",
  "version": "1",
  "members": ["packages/app", "packages/lib"]
}
"""
APP = """{
  "schema": "vitte.package.manifest.v1",
  "name": "app",
  "version": "0.1.0",
  "kind": "binary",
  "entry": "src/main.vit",
  "tests": ["tests/basic.vit"],
  "dependencies": {
    "lib": {"source": "workspace", "version": "0.1.0"},
    "remote": {"source": "registry", "version": "1"}
  }
}
"""
LIB = """{
  "schema": "vitte.package.manifest.v1",
  "name": "lib",
  "version": "0.1.0",
  "kind": "library",
  "entry": "src/lib.vit"
}
"""
FILES = {
    "vitte-workspace.json": WORKSPACE,
    "vitte.lock": "{}",
    "packages/app/vitte-package.json": APP,
    "packages/app/src/main.vit": SOURCE.format("app"),
    "packages/app/tests/basic.vit": SOURCE.format("app/tests"),
    "packages/app/notes.txt": "not a source\n",
    "packages/lib/vitte-package.json": LIB,
    "packages/lib/src/lib.vit": SOURCE.format("lib"),
    "packages/lib/src/lib.vitl": "space lib\n",
    "packages/other/src/x.vit": SOURCE.format("other"),
}


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    write(tmp_path, {"bin/vitte-bootstrap": COMPILER})
    (tmp_path / "bin/vitte-bootstrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.delenv("VITTE_BOOTSTRAP", raising=False)
    return write(tmp_path / "w", FILES)


def names(found):
    return [step.name for step in found.steps]


def test_packages_are_built_after_what_they_depend_on(workspace):
    found = plan(workspace)
    app = step_named(found, "app")

    assert names(found) == ["lib", "app"]
    assert app.argv[1:] == ("build", "packages/app/src/main.vit", "-o", "build/vitte/app")
    assert app.needs == ("lib",)
    assert step_named(found, "lib").argv[1:] == ("check", "packages/lib/src/lib.vit")


def test_a_package_reads_its_sources_and_those_it_depends_on(workspace):
    app = {
        path.removeprefix("/vitte/project/") for path in step_named(plan(workspace), "app").inputs
    }
    lib = {
        path.removeprefix("/vitte/project/") for path in step_named(plan(workspace), "lib").inputs
    }

    assert lib == {
        "vitte-workspace.json",
        "vitte.lock",
        "packages/lib/vitte-package.json",
        "packages/lib/src/lib.vit",
        "packages/lib/src/lib.vitl",
    }
    assert app - lib == {
        "packages/app/vitte-package.json",
        "packages/app/src/main.vit",
        "packages/app/tests/basic.vit",
    }


def test_tests_are_steps_that_need_their_package(workspace, tmp_path):
    found = plan(workspace, Kind.TEST)
    test = step_named(found, "app:packages/app/tests/basic.vit")

    assert test.argv[1:] == ("run", "packages/app/tests/basic.vit")
    assert test.needs == ("app",)
    runner = Runner(isolated=tmp_path / "iso" if shutil.which("bwrap") else None)
    (workspace / "build/vitte").mkdir(parents=True)
    runner.run(found)
    assert runner.ran == names(found)
    assert (workspace / "build/vitte/app").read_text() == FILES["packages/app/src/main.vit"]


def test_targets_are_packages(workspace):
    assert names(plan(workspace, targets=("lib",))) == ["lib"]
    with pytest.raises(UnknownTarget, match="`lbi`") as caught:
        plan(workspace, targets=("lbi",))
    assert "`lib`" in caught.value.next_step()


def test_the_whole_workspace_is_planned_from_a_member(workspace):
    assert plan(workspace / "packages/app/src").root == workspace


def test_a_package_without_a_workspace(workspace):
    package = write(workspace.parent / "single", {"vitte-package.json": LIB, "src/lib.vit": "x"})

    assert names(plan(package)) == ["lib"]


def test_the_compiler_can_be_pointed_to(workspace, monkeypatch):
    other = workspace.parent / "elsewhere"
    shutil.copy(workspace.parent / "bin/vitte-bootstrap", other)
    monkeypatch.setenv("VITTE_BOOTSTRAP", str(other))

    assert step_named(plan(workspace), "lib").argv[0] == str(other)


def test_without_a_compiler_it_says_how_to_point_to_one(workspace, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")

    with pytest.raises(ToolNotFound, match="`vitte-bootstrap`") as caught:
        plan(workspace)
    assert "VITTE_BOOTSTRAP" in caught.value.next_step()


def test_there_are_no_benchmarks(workspace):
    with pytest.raises(NoPlan, match="benchmarks"):
        plan(workspace, Kind.BENCH)


@pytest.mark.parametrize(
    ("file", "old", "new", "line", "problem"),
    [
        ("vitte-workspace.json", "workspace.v1", "workspace.v9", 2, "vitte.workspace.v9"),
        ("vitte-workspace.json", "packages/lib", "packages/no", 4, "`packages/no` has no"),
        ("vitte-workspace.json", '["packages/app"', "[3", 4, "`members.0` is no string"),
        ("vitte-workspace.json", '"1",', '"1"', 4, "','"),
        ("packages/app/vitte-package.json", '"binary"', '"plugin"', 5, "`plugin`"),
        ("packages/app/vitte-package.json", '"entry"', '"entri"', 1, "`entry` is no string"),
        ("packages/app/vitte-package.json", '["tests/basic.vit"]', '"x"', 7, "`tests` is no list"),
        ("packages/app/vitte-package.json", '"lib": {', '"lob": {', 9, "`lob` is no member"),
        ("packages/lib/vitte-package.json", '"lib"', '"app"', 3, "two packages"),
    ],
)
def test_mistakes_are_pointed_at(workspace, file, old, new, line, problem):
    text = FILES[file]
    assert old in text
    write(workspace, {file: text.replace(old, new, 1)})

    with pytest.raises(ProjectFileError) as caught:
        plan(workspace)

    assert str(caught.value.params["file"]).endswith(file)
    assert problem in str(caught.value.params["problem"])
    assert caught.value.params["line"] == line


def test_packages_that_need_each_other(workspace):
    circle = LIB.replace('"entry"', '"dependencies": {"app": {"source": "workspace"}},\n  "entry"')
    write(workspace, {"packages/lib/vitte-package.json": circle})

    with pytest.raises(PlanCycle, match="app -> lib -> app"):
        plan(workspace)


def test_an_entry_outside_the_workspace(workspace):
    write(workspace, {"packages/lib/vitte-package.json": LIB.replace("src/", "../../../src/")})

    with pytest.raises(PathEscapes):
        plan(workspace)
