"""A real CMake project, planned, run and recorded; then the real ninja is asked what it thinks."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from planning import Runner, plan, step_named, write

from mesh.errors import ProjectFileError, StaleBuildFiles, UnknownTarget
from mesh.planners.base import Kind
from mesh.planners.ninja.logs import record

CMAKE = shutil.which("cmake") or str(Path(sys.executable).parent / "cmake")
NINJAS = [
    pytest.param(path, id=name)
    for name, path in (
        ("system", Path("/usr/bin/ninja")),
        ("pypi", Path(sys.executable).parent / "ninja"),
    )
    if path.exists()
]
pytestmark = pytest.mark.skipif(not Path(CMAKE).exists(), reason="cmake is missing")

FILES = {
    "CMakeLists.txt": """
cmake_minimum_required(VERSION 3.16)
project(demo C)
enable_testing()
add_executable(gen "tools/gen it.c")
add_custom_command(OUTPUT table.h
  COMMAND gen ${CMAKE_CURRENT_SOURCE_DIR}/table.txt table.h DEPENDS gen table.txt)
configure_file(config.h.in config.h)
add_library(util STATIC util.c)
target_include_directories(util PUBLIC "include dir" ${CMAKE_CURRENT_BINARY_DIR})
add_library(part SHARED part.c)
set_target_properties(part PROPERTIES VERSION 1.2 SOVERSION 1)
add_executable(app main.c table.h)
target_link_libraries(app util part m)
add_executable(alone alone.c)
target_precompile_headers(alone PRIVATE <stdio.h>)
add_executable(extra EXCLUDE_FROM_ALL extra.c)
add_custom_target(hello ALL COMMAND ${CMAKE_COMMAND} -E echo hello)
add_test(NAME app COMMAND app)
add_test(NAME file COMMAND cat table.txt WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
add_test(NAME wrong COMMAND false)
set_tests_properties(wrong PROPERTIES WILL_FAIL TRUE)
add_test(NAME env COMMAND sh -c "test \\"$ANSWER\\" = 42")
set_tests_properties(env PROPERTIES ENVIRONMENT "ANSWER=42;B=1" TIMEOUT 7)
""",
    "tools/gen it.c": "#include <stdio.h>\nint main(int n, char **v) {\n"
    '  FILE *in = fopen(v[1], "r"), *out = fopen(v[2], "w"); int x;\n'
    '  if (n < 3 || !in || !out || fscanf(in, "%d", &x) != 1) return 1;\n'
    '  fprintf(out, "#define TABLE %d\\n", x); return 0; }\n',
    "table.txt": "42\n",
    "config.h.in": "#define CONFIG 1\n",
    "include dir/util.h": "int util(void);\n",
    "util.c": '#include "util.h"\n#include "config.h"\nint util(void) { return CONFIG; }\n',
    "part.c": "int part(void) { return 7; }\n",
    "main.c": '#include "util.h"\n#include "table.h"\nint part(void);\n'
    "int main(void) { return util() + part() + TABLE == 50 ? 0 : 1; }\n",
    "alone.c": "int main(void) { return 0; }\n",
    "extra.c": "int main(void) { return 0; }\n",
}
UTIL = "CMakeFiles/util.dir/util.c.o"
MAIN = "CMakeFiles/app.dir/main.c.o"
GEN = "CMakeFiles/gen.dir/tools/gen_it.c.o"


def configure(root: Path, ninja: Path, *more: str) -> Path:
    build = root / "build"
    argv = [CMAKE, "-G", "Ninja", "-S", root, "-B", build, f"-DCMAKE_MAKE_PROGRAM={ninja}"]
    # The compiler works, as the other tests show; finding out takes longer than all of them.
    done = subprocess.run(
        [*argv, "-DCMAKE_C_COMPILER_WORKS=1", *more], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return build


def ask(ninja: Path, build: Path, *words: str) -> str:
    done = subprocess.run([ninja, "-C", build, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module", params=NINJAS)
def ninja(request):
    return request.param


@pytest.fixture(scope="module")
def project(tmp_path_factory, ninja):
    root = write(tmp_path_factory.mktemp("cmake") / "the project", FILES)
    configure(root, ninja)
    return root


@pytest.fixture(scope="module")
def runner(project, tmp_path_factory):
    """Has built the project once; with bubblewrap, each step saw nothing but its inputs."""
    isolated = tmp_path_factory.mktemp("isolated") if shutil.which("bwrap") else None
    runner = Runner(isolated=isolated)
    found = plan(project)
    runner.run(found)
    record(found, runner.recorded)
    return runner


def test_the_plan_has_the_shape_of_the_graph(project):
    found = plan(project)
    main = step_named(found, MAIN)
    table = step_named(found, "table.h")
    app = step_named(found, "app")

    assert found.build_dir == project / "build"
    assert [(mount.host, mount.inside) for mount in found.mounts] == [(project, str(project))]
    assert main.inputs == (f"{project}/main.c",)
    assert "table.h" in main.needs
    assert main.scan is not None
    assert main.scan.include_dirs == (f"{project}/include dir", f"{project}/build")
    assert set(table.inputs) >= {f"{project}/table.txt", f"{project}/build/gen"}
    assert set(app.needs) >= {MAIN, "libutil.a", "libpart.so.1.2"}
    assert not main.local
    assert main.cacheable
    assert "hello" not in {step.name for step in found.steps if not step.local}
    assert not any(step.name == "extra" for step in found.steps)


def test_what_cannot_be_known_runs_here_and_says_why(project):
    found = plan(project)
    local = {step.name for step in found.steps if step.local}

    assert local == {
        "CMakeFiles/hello",
        "CMakeFiles/alone.dir/cmake_pch.h.gch",
        "CMakeFiles/alone.dir/alone.c.o",
    }
    assert not any(step.cacheable for step in found.steps if step.local)
    assert "precompiled header" in found.explanation
    assert "makes no file" in found.explanation


def test_it_builds_and_then_ninja_has_only_the_target_without_a_file(runner, project, ninja):
    assert subprocess.run([project / "build/app"]).returncode == 0
    todo = ask(ninja, project / "build", "-n", "-v")
    assert "[1/1]" in todo
    assert "echo hello" in todo
    assert "no work to do" in ask(ninja, project / "build", "-n", "app", "alone")


def test_a_second_run_finds_everything_in_the_cache(runner, project):
    runner.run(plan(project))

    assert all(step_named(plan(project), name).local for name in runner.ran)


@pytest.mark.parametrize(
    ("changed", "recompiled"),
    [
        ("include dir/util.h", {UTIL, MAIN}),
        ("table.txt", {MAIN}),
        ("part.c", {"CMakeFiles/part.dir/part.c.o"}),
        ("tools/gen it.c", {GEN}),
    ],
)
def test_a_change_recompiles_exactly_what_reads_it(runner, project, ninja, changed, recompiled):
    text = "41\n" if changed == "table.txt" else FILES[changed] + "static int changed;\n"
    write(project, {changed: text})

    found = plan(project)
    runner.run(found)

    compiled = {name for name in runner.ran if name.endswith(".o") and "alone" not in name}
    assert compiled == recompiled
    record(found, runner.recorded)
    assert "no work to do" in ask(ninja, project / "build", "-n", "app")

    write(project, {changed: FILES[changed]})
    found = plan(project)
    runner.run(found)
    assert all(step_named(found, name).local for name in runner.ran), "all in the cache"
    assert subprocess.run([project / "build/app"]).returncode == 0
    record(found, runner.recorded)
    assert "no work to do" in ask(ninja, project / "build", "-n", "app")


def test_tests_of_ctest_become_steps(runner, project):
    found = plan(project, Kind.TEST)
    tests = {step.name: step for step in found.steps if step.name.startswith("test:")}

    assert set(tests) == {"test:app", "test:file", "test:wrong", "test:env"}
    app = tests["test:app"]
    assert app.argv == (f"{project}/build/app",)
    assert set(app.needs) == {"app", "libpart.so.1.2", "libpart.so.1"}
    assert f"{project}/build/config.h" in app.inputs
    assert f"{project}/table.txt" in app.inputs
    assert not any("/CMakeFiles/" in path for path in app.inputs)
    assert tests["test:file"].cwd == str(project)
    assert tests["test:env"].timeout_s == 7
    assert dict(tests["test:env"].env)["ANSWER"] == "42"
    assert tests["test:wrong"].local, "ctest itself must turn the result round"

    runner.run(found)

    assert set(tests) <= set(runner.ran)


def test_one_test_can_be_asked_for(project):
    found = plan(project, Kind.TEST, targets=("app",))

    assert [step.name for step in found.steps if step.name.startswith("test:")] == ["test:app"]
    with pytest.raises(UnknownTarget, match="nothing"):
        plan(project, Kind.TEST, targets=("nothing",))


def test_targets_choose_what_is_built(project):
    found = plan(project, targets=("extra",))

    assert {step.name for step in found.steps} == {"CMakeFiles/extra.dir/extra.c.o", "extra"}
    with pytest.raises(UnknownTarget) as caught:
        plan(project, targets=("extr",))
    assert "`extra`" in caught.value.next_step()
    by_folder = plan(project / "tools", targets=("../build", "extra"))
    assert by_folder.build_dir == project / "build"


def test_a_changed_cmakelists_must_be_configured_first(project, ninja):
    path = project / "CMakeLists.txt"
    old = path.stat()
    path.touch()
    try:
        with pytest.raises(StaleBuildFiles) as caught:
            plan(project)
        assert "CMakeLists.txt" in caught.value.message()
        assert "ninja -C" in caught.value.next_step()
    finally:
        os.utime(path, ns=(old.st_atime_ns, old.st_mtime_ns))
    plan(project)


def test_a_build_folder_that_was_moved_is_refused(project, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(project / "build", moved)

    with pytest.raises(ProjectFileError, match="configured as"):
        plan(moved)


def test_sources_and_build_side_by_side_are_two_mounts(tmp_path, ninja):
    source = write(
        tmp_path / "source",
        {
            "CMakeLists.txt": "cmake_minimum_required(VERSION 3.16)\nproject(p C)\n"
            "add_executable(a a.c)\n"
        }
        | {"a.c": "int main(void) { return 0; }\n"},
    )
    build = tmp_path / "out"
    argv = [CMAKE, "-G", "Ninja", "-S", source, "-B", build, f"-DCMAKE_MAKE_PROGRAM={ninja}"]
    subprocess.run([*argv, "-DCMAKE_C_COMPILER_WORKS=1"], capture_output=True, check=True)

    found = plan(build)

    assert {mount.inside for mount in found.mounts} == {str(source), str(build)}
    assert found.root == source
    Runner(isolated=tmp_path / "iso" if shutil.which("bwrap") else None).run(found)
    assert (build / "a").exists()
