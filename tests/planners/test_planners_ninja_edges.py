"""Edges that need care: dyndep, console, depfiles, thin archives, files that commands name."""

import shutil
import subprocess
from pathlib import Path

import pytest
from planning import Runner, plan, step_named, write

from mesh.errors import NoPlan, PathEscapes
from mesh.planners.base import Kind
from mesh.planners.ninja import words
from mesh.planners.ninja.ctest import parse_calls, read_tests


def ninja_project(root: Path, text: str, **files: str) -> Path:
    return write(root / "p", {"build.ninja": text, **files})


def test_a_plain_ninja_project_runs(tmp_path):
    project = ninja_project(
        tmp_path,
        "rule cc\n  command = cc -MD -MF $out.d -c $in -o $out\n  depfile = $out.d\n  deps = gcc\n"
        "rule ld\n  command = cc $in -o $out\n"
        "build out/a.o: cc a.c\nbuild app: ld out/a.o\n",
        **{"a.c": '#include "h.h"\nint main(void) { return H; }\n', "h.h": "#define H 0\n"},
    )
    runner = Runner(isolated=tmp_path / "iso" if shutil.which("bwrap") else None)

    runner.run(plan(project))

    assert runner.ran == ["out/a.o", "app"]
    assert subprocess.run([project / "app"]).returncode == 0


def test_a_thin_archive_brings_its_members(tmp_path):
    project = ninja_project(
        tmp_path,
        "rule cc\n  command = cc -c $in -o $out\n"
        "rule ar\n  command = rm -f $out && ar csrDT $out $in\n"
        "rule ld\n  command = cc $in -o $out\n"
        "build a.o: cc a.c\nbuild m.o: cc m.c\nbuild lib.a: ar a.o\nbuild app: ld m.o lib.a\n",
        **{"a.c": "int a;\n", "m.c": "extern int a;\nint main(void) { return a; }\n"},
    )

    app = step_named(plan(project), "app")

    assert f"{project}/a.o" in app.inputs
    Runner(isolated=tmp_path / "iso" if shutil.which("bwrap") else None).run(plan(project))


def test_a_program_brings_the_shared_libraries_it_was_linked_with(tmp_path):
    project = ninja_project(
        tmp_path,
        "rule so\n  command = cc -shared $in -o $out\nrule ld\n  command = cc $in $libs -o $out\n"
        "rule run\n  command = ./$prog > $out\n"
        "build liba.so: so a.c\n"
        "build tool: ld m.c | liba.so\n  libs = -L. -la -Wl,-rpath,.\n"
        "build result: run tool\n  prog = tool\n",
        **{
            "a.c": "int a(void) { return 0; }\n",
            "m.c": "int a(void);int main(void){return a();}\n",
        },
    )

    result = step_named(plan(project), "result")

    assert set(result.inputs) == {f"{project}/tool", f"{project}/liba.so"}
    assert "liba.so" in result.needs
    Runner(isolated=tmp_path / "iso" if shutil.which("bwrap") else None).run(plan(project))


def test_files_that_a_command_names_are_inputs(tmp_path):
    project = ninja_project(
        tmp_path,
        "rule gen\n  command = sh script.sh --template=t.in $out\nbuild x: gen\n",
        **{"script.sh": "cat t.in > $2\n", "t.in": "1\n", "unrelated": ""},
    )

    assert set(step_named(plan(project), "x").inputs) == {
        f"{project}/script.sh",
        f"{project}/t.in",
    }


@pytest.mark.parametrize(
    ("edge", "reason"),
    [
        ("build x: r a\n  pool = console\n", "console"),
        ("build x: r a\n  depfile = x.d\n", "depfile"),
        ("build x: r a\n  deps = msvc\n", "MSVC"),
        ("build x.gch: r a\n", "precompiled header"),
        ("build x: r a | y.pch\n", "precompiled header"),
        ("build x: deep a\n", "calls ninja"),
    ],
)
def test_edges_that_run_here(tmp_path, edge, reason):
    project = ninja_project(
        tmp_path,
        "rule r\n  command = do $in\nrule deep\n  command = cd sub && ninja $in\n" + edge,
        **{"a": "", "y.pch": ""},
    )

    found = plan(project)

    assert found.steps[0].local
    assert not found.steps[0].cacheable
    assert reason in found.explanation


DYNDEP = """
rule scan
  command = sh scan.sh $in > $out
rule cp
  command = cat $in > $out && touch $out $also
build order.dd: scan b.src
build b.out: cp b.src || order.dd
  dyndep = order.dd
build a.out: cp a.src || order.dd
  also = a.module
  dyndep = order.dd
build all.txt: cp a.out b.out
default all.txt
"""


def test_what_is_ordered_while_building_is_left_to_ninja(tmp_path):
    """`b.out` needs `a.module`, a product of `a.out` that only the dyndep file knows of."""
    project = ninja_project(
        tmp_path,
        DYNDEP,
        **{
            "a.src": "a\n",
            "b.src": "b\n",
            "scan.sh": "printf 'ninja_dyndep_version = 1\\n"
            "build b.out: dyndep | a.module\\nbuild a.out | a.module: dyndep\\n'\n",
        },
    )

    found = plan(project)
    group = step_named(found, "ninja:dyndep")

    assert group.local
    assert group.argv[3:] == ("a.out", "b.out")
    assert group.needs == ("order.dd",)
    assert step_named(found, "all.txt").needs == ("ninja:dyndep",)
    assert "2 run here because their order is found out while building" in found.explanation
    Runner(isolated=tmp_path / "iso" if shutil.which("bwrap") else None).run(found)
    assert (project / "all.txt").read_text() == "a\nb\n"


def test_what_lies_between_two_dyndep_edges_goes_with_them(tmp_path):
    project = ninja_project(
        tmp_path,
        "rule r\n  command = cat $in > $out\n"
        "build d.dd: r s\nbuild one: r s || d.dd\n  dyndep = d.dd\n"
        "build middle: r one\nbuild two: r middle || d.dd\n  dyndep = d.dd\nbuild end: r two\n",
        s="",
    )

    found = plan(project)

    assert {step.name for step in found.steps} == {"d.dd", "ninja:dyndep", "end"}
    assert set(step_named(found, "ninja:dyndep").argv[3:]) == {"one", "two", "middle"}


def test_files_of_a_neighbour_are_mounted_and_files_of_the_system_are_tools(tmp_path):
    write(tmp_path, {"other/lib.c": "", "p/main.c": ""})
    project = ninja_project(
        tmp_path, "rule r\n  command = cat $in > $out\nbuild x: r ../other/lib.c /etc/hostname\n"
    )

    found = plan(project)

    assert f"{tmp_path}/other" in {mount.inside for mount in found.mounts}
    assert found.steps[0].inputs == (f"{tmp_path}/other/lib.c",)
    assert found.steps[0].tools == ("/etc/hostname",)


def test_an_output_in_the_system_is_refused(tmp_path):
    project = ninja_project(tmp_path, "rule r\n  command = c > $out\nbuild /usr/x: r\n")

    with pytest.raises(PathEscapes, match="/usr/x"):
        plan(project)


def test_response_files_are_made_up_for_the_action(tmp_path):
    project = ninja_project(
        tmp_path,
        "rule r\n  command = cat @$out.rsp\n  rspfile = $out.rsp\n  rspfile_content = $in\n"
        "build x: r a b\n",
        a="",
        b="",
    )

    assert plan(project).steps[0].response_files == ((f"{project}/x.rsp", b"a b"),)


def test_the_environment_of_compilers_is_small_and_that_of_scripts_has_the_callers_path(tmp_path):
    project = ninja_project(
        tmp_path,
        "rule cc\n  command = cc -c $in -o $out\nrule py\n  command = env x=1 ./script > $out\n"
        "build a.o: cc a.c\nbuild b: py script\n",
        **{"a.c": "", "script": ""},
    )
    env = {"PATH": "/opt/mine/bin:/usr/bin:/bin", "HOME": "/h", "CPATH": "/inc"}

    found = plan(project, env=env)

    compiler = dict(step_named(found, "a.o").env)
    assert compiler == {
        "CPATH": "/inc",
        "LANG": "C.UTF-8",
        "PATH": "/usr/bin:/bin:/usr/local/bin",
    }
    assert dict(step_named(found, "b").env)["PATH"].startswith("/opt/mine/bin:")


def test_a_test_target_without_ctest_runs_here(tmp_path):
    rule = "rule r\n  command = true $in\n  pool = console\nbuild a: phony s\nbuild test: r a\n"
    found = plan(ninja_project(tmp_path, rule, s=""), Kind.TEST)

    assert step_named(found, "test").local


@pytest.mark.parametrize("kind", [Kind.TEST, Kind.BENCH])
def test_without_tests_or_benchmarks_that_is_said(tmp_path, kind):
    project = ninja_project(tmp_path, "rule r\n  command = c\nbuild a: r\n")

    with pytest.raises(NoPlan, match="a target"):
        plan(project, kind)


@pytest.mark.parametrize(
    ("command", "thin"),
    [
        ("ar qc lib.a a.o", False),
        ("rm -f x && gcc-ar csrDT x a.o", True),
        ("llvm-ar --thin rc x a.o", True),
        ("ar rcT x a.o", True),
        ("tar cT x", False),
    ],
)
def test_thin_archives_are_recognised(command, thin):
    assert words.makes_thin_archive(command) is thin


def test_cmake_calls_are_read():
    text = (
        '# comment (\nadd_test([=[a ]] b]=] "/x/y z" "q\\"\\$" plain\\;x)\n'
        'set_tests_properties(a\n  PROPERTIES K "")\nsubdirs()\n'
    )

    assert parse_calls(Path("f"), text) == [
        ("add_test", ["a ]] b", "/x/y z", 'q"$', "plain;x"]),
        ("set_tests_properties", ["a", "PROPERTIES", "K", ""]),
        ("subdirs", []),
    ]


def test_a_folder_of_discovered_tests_is_left_to_ctest(tmp_path):
    write(
        tmp_path,
        {
            "CTestTestfile.cmake": 'add_test(one "/x")\nsubdirs("sub" "sub2")\n',
            "sub/CTestTestfile.cmake": 'include("/later.cmake")\n',
            "sub2/CTestTestfile.cmake": 'add_test(two "y")\n'
            "set_tests_properties(two PROPERTIES DISABLED TRUE)\n",
        },
    )

    found = read_tests("/b", tmp_path)

    assert [(test.name, test.folder) for test in found.tests] == [("one", "/b"), ("two", "/b/sub2")]
    assert found.tests[1].is_disabled
    assert found.dynamic == ("sub",)
