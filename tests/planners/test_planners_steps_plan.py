"""The steps planner on real projects: expansion, needs, targets, and running what it planned."""

import shutil
import subprocess

import pytest
from planning import Runner, git, plan, resolver, step_named, write

from mesh.action.model import PROJECT_MOUNT
from mesh.errors import (
    DuplicateOutput,
    MissingInput,
    NoPlan,
    PathEscapes,
    PlanCycle,
    ProjectFileError,
    UnknownTarget,
)
from mesh.planners.base import Kind

PROJECT = """
[project]
name = "demo"

[[step]]
name = "version"
run = "echo '#define VERSION 3' > {out}"
out = "build/version.h"
inputs = []

[[step]]
name = "compile"
foreach = "src/**/*.c"
run = "cc -O1 -Iinclude -Ibuild -c {in} -o {out}"
out = "build/{rel}.o"
scan = "cc"
needs = "version"

[[step]]
name = "link"
run = ["cc", "-o", "{out}", "{needs.compile}"]
needs = ["compile"]
out = "build/app"

[[step]]
name = "check"
kind = "test"
foreach = "tests/*.txt"
run = "./build/app {in}"
needs = ["link"]

[[step]]
name = "speed"
kind = "bench"
run = "./build/app"
needs = ["link"]
"""

SOURCES = {
    "vitte-dist.toml": PROJECT,
    "include/a.h": "int a(void);\n",
    "include/b.h": "int b(void);\n",
    "src/main.c": '#include "a.h"\n#include "b.h"\n#include "version.h"\n'
    "int main(void) { return a() + b() - VERSION; }\n",
    "src/lib/a.c": '#include "a.h"\nint a(void) { return 1; }\n',
    "src/lib/b file.c": '#include "b.h"\nint b(void) { return 2; }\n',
    "tests/one.txt": "1\n",
    "tests/two.txt": "2\n",
}

needs_bwrap = pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is missing")


@pytest.fixture
def project(tmp_path):
    return write(tmp_path / "project", SOURCES)


def names(of):
    return {step.name for step in of.steps}


def test_a_build_is_what_build_steps_need(project):
    found = plan(project)

    assert names(found) == {
        "version",
        "compile:src/main.c",
        "compile:src/lib/a.c",
        "compile:src/lib/b file.c",
        "link",
    }
    compile_ = step_named(found, "compile:src/lib/b file.c")
    assert (
        compile_.argv[2]
        == "cc -O1 -Iinclude -Ibuild -c 'src/lib/b file.c' -o 'build/src/lib/b file.o'"
    )
    assert compile_.needs == ("version",)
    assert compile_.scan.argv == ("cc", "-O1", "-Iinclude", "-Ibuild", "src/lib/b file.c", "-M")
    link = step_named(found, "link")
    assert link.argv[:3] == ("cc", "-o", "build/app")
    assert set(link.argv[3:]) == {"build/src/main.o", "build/src/lib/a.o", "build/src/lib/b file.o"}


def test_tests_and_benchmarks_bring_the_build_they_need(project):
    tests = plan(project, Kind.TEST)
    bench = plan(project, Kind.BENCH)

    assert {"check:tests/one.txt", "check:tests/two.txt", "link"} <= names(tests)
    assert "speed" not in names(tests)
    assert {"speed", "link"} <= names(bench)
    assert not step_named(bench, "speed").cacheable
    assert step_named(tests, "check:tests/one.txt").cacheable


def test_targets_are_steps_expansions_or_outputs(project):
    one = plan(project, targets=("compile:src/lib/a.c",))
    by_output = plan(project, targets=("build/src/lib/a.o",))

    assert names(one) == names(by_output) == {"compile:src/lib/a.c", "version"}
    with pytest.raises(UnknownTarget, match="`lnk`") as caught:
        plan(project, targets=("lnk",))
    assert "link" in caught.value.next_step()


@needs_bwrap
def test_it_runs_with_nothing_but_what_the_actions_declare(project, tmp_path):
    runner = Runner(isolated=tmp_path / "isolated")

    runner.run(plan(project))
    assert subprocess.run([project / "build/app"]).returncode == 0
    runner.run(plan(project))
    assert runner.ran == []

    write(project, {"include/a.h": "int a(void); /* changed */\n"})
    runner.run(plan(project))
    assert set(runner.ran) - {"link"} == {"compile:src/main.c", "compile:src/lib/a.c"}


def test_the_same_tree_elsewhere_makes_the_same_actions(project, tmp_path):
    other = tmp_path / "quite" / "another place"
    shutil.copytree(project, other)

    runners = [Runner(), Runner()]
    for runner, where in zip(runners, (project, other), strict=True):
        found = plan(where)
        for name in ("version", "compile:src/lib/a.c", "compile:src/main.c"):
            step = step_named(found, name)
            if name == "version":
                write(where, {"build/version.h": "#define VERSION 3\n"})
            runner.resolved[name] = resolver(found).resolve(step)

    for name, resolved in runners[0].resolved.items():
        assert resolved.cacheable
        assert resolved.digest == runners[1].resolved[name].digest


def test_it_is_found_from_a_folder_below(project):
    assert plan(project / "src" / "lib").root == project


def test_products_are_no_sources(project):
    write(project, {"build/src/left.c": "int left;\n"})
    text = PROJECT.replace('"src/**/*.c"', '"**/*.c"').replace(
        'out = "build/version.h"', 'out = ["build/version.h", "build/src/left.c"]'
    )
    write(project, {"vitte-dist.toml": text})

    assert "compile:build/src/left.c" not in names(plan(project))
    assert "compile:src/main.c" in names(plan(project))


def test_git_decides_what_belongs_to_the_project(project):
    write(project, {".gitignore": "private/\n", "src/private/x.c": "", "src/new.c": ""})
    assert "compile:src/private/x.c" in names(plan(project))

    git(project, "init", "-q")
    git(project, "add", "src/main.c")

    found = names(plan(project))
    assert "compile:src/private/x.c" not in found
    assert {"compile:src/main.c", "compile:src/new.c"} <= found, "tracked and not yet tracked"


def test_foreach_over_what_another_step_makes_needs_only_its_own_maker(project):
    more = """
[[step]]
name = "prog"
foreach = "tests/*.txt"
run = "cp {in} {out}"
out = "build/{stem}.prog"

[[step]]
name = "try"
kind = "test"
foreach = "{needs.prog}"
run = ["cat", "{in}"]
"""
    write(project, {"vitte-dist.toml": PROJECT + more})

    step = step_named(plan(project, Kind.TEST), "try:build/one.prog")

    assert step.needs == ("prog:tests/one.txt",)
    assert step.inputs == (f"{PROJECT_MOUNT}/build/one.prog",)


def test_a_file_that_a_step_makes_brings_that_step(project):
    more = '[[step]]\nname="late"\ninputs=["build/version.h"]\nrun="cat build/version.h"\n'
    write(project, {"vitte-dist.toml": PROJECT + more})

    assert step_named(plan(project), "late").needs == ("version",)


def test_a_step_that_names_nothing_reads_the_whole_project(project):
    write(project, {"vitte-dist.toml": '[[step]]\nname="all"\nrun="ls"\n'})

    inputs = step_named(plan(project), "all").inputs

    assert f"{PROJECT_MOUNT}/src/lib/a.c" in inputs
    assert f"{PROJECT_MOUNT}/tests/one.txt" in inputs


def test_the_environment_is_exactly_what_the_file_asks_for(project):
    text = '[project]\nenv = ["CC"]\n[[step]]\nname="a"\nrun="true"\nenv={ MODE = "fast" }\n'
    write(project, {"vitte-dist.toml": text})
    env = {"PATH": "/opt/strange:/usr/bin", "CC": "cc", "SECRET": "s", "HOME": "/h"}

    found = dict(plan(project, env=env).steps[0].env)

    assert found == {
        "CC": "cc",
        "MODE": "fast",
        "LANG": "C.UTF-8",
        "PATH": "/usr/bin:/usr/local/bin:/bin",
    }


def test_cwd_moves_the_words_but_not_the_paths(project):
    text = '[[step]]\nname="a"\nforeach="src/lib/a.c"\ncwd="build"\nrun="cp {in} {out}"\n'
    text += 'out="build/{stem}.o"\n'
    write(project, {"vitte-dist.toml": text})

    step = plan(project).steps[0]

    assert step.cwd == f"{PROJECT_MOUNT}/build"
    assert step.argv[2] == "cp ../src/lib/a.c a.o"


def replaced(project, old: str, new: str) -> None:
    assert old in PROJECT
    write(project, {"vitte-dist.toml": PROJECT.replace(old, new)})


@pytest.mark.parametrize(
    ("old", "new", "error", "words"),
    [
        (
            'needs = "version"',
            'needs = ["version", "link"]',
            PlanCycle,
            "compile -> link -> compile",
        ),
        ('"build/{rel}.o"', '"build/same.o"', DuplicateOutput, "`build/same.o`"),
        ('"build/{rel}.o"', '"../{rel}.o"', PathEscapes, "../src/"),
        ('"build/{rel}.o"', '"build/{rell}.o"', ProjectFileError, "{rell}"),
        ('"src/**/*.c"', '"source/*.c"', ProjectFileError, "`source/*.c` matches no file"),
        ('"src/**/*.c"', '["src/nothing.c"]', MissingInput, "`src/nothing.c`"),
        ('"src/**/*.c"', '"{needs.nothing}"', ProjectFileError, "no step `nothing`"),
        ("cc -O1", "cd . && cc -O1", ProjectFileError, "cannot be scanned"),
    ],
)
def test_mistakes_in_the_steps(project, old, new, error, words):
    replaced(project, old, new)

    with pytest.raises(error) as caught:
        plan(project)
    assert words in caught.value.message()


def test_a_kind_without_steps_is_somebody_elses(project):
    write(project, {"vitte-dist.toml": '[[step]]\nname="a"\nrun="true"\n'})

    with pytest.raises(NoPlan, match='kind = "bench"'):
        plan(project, Kind.BENCH)


def test_a_stray_file_above_the_git_tree_means_nothing(project):
    inner = write(project / "inner", {"x": ""})
    git(inner, "init", "-q")

    with pytest.raises(NoPlan):
        plan(inner)
