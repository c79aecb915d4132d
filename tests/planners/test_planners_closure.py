"""The include scanner against the compiler: it finds all that is read, and knows when to ask."""

import os
import random
import subprocess

import pytest
from planning import Memory, Runner, plan, resolver, step_named, write

from mesh.action.model import PROJECT_MOUNT
from mesh.planners.closure import ProjectView
from mesh.planners.systemheaders import IncludeMemory

STEP = """
[[step]]
name = "cc"
foreach = "src/*.c"
run = ["cc", "-Ifirst", "-Isecond", {options} "-c", "{{in}}", "-o", "{{out}}"]
out = "build/{{stem}}.o"
scan = "cc"
"""


def project(root, files, options=""):
    return write(root / "p", {"vitte-dist.toml": STEP.format(options=options), **files})


def closure(root, name="cc:src/a.c"):
    """(headers of the project, system headers), or None when the compiler must be asked."""
    found = plan(root)
    one = resolver(found)
    step = step_named(found, name)
    scan = one.includes.scan(step, one.tools(step), ProjectView())
    if scan is None:
        return None
    prefix = PROJECT_MOUNT + "/"
    return {path.removeprefix(prefix) for path in scan.project}, set(scan.system)


def asked(root, name="cc:src/a.c"):
    """The same, as the compiler has it."""
    found = plan(root)
    one = resolver(found)
    step = step_named(found, name)
    scan = one.scanner.scan(step, one.tools(step))
    assert not scan.failed
    prefix = PROJECT_MOUNT + "/"
    return {path.removeprefix(prefix) for path in scan.project}, set(scan.system)


@pytest.mark.parametrize("seed", range(8))
def test_all_that_the_compiler_reads_is_found(tmp_path, seed):
    choose = random.Random(seed)
    folders = ["src", "first", "second", "first/deep", "second/deep"]
    headers = [f"{folder}/h{n}.h" for folder in folders for n in range(4) if choose.random() < 0.6]
    system = ["stdio.h", "limits.h", "stdint.h", "sys/types.h", "errno.h", "string.h"]

    def text():
        lines = ["#pragma once"]
        for _ in range(choose.randrange(4)):
            name = choose.choice(headers).split("/", 1)[1]
            name = choose.choice([name, f"deep/{name}", f"../first/{name}"])
            mark = choose.choice(['"{}"', "<{}>"]).format(name)
            lines += [f"#if __has_include({mark})", f"#include {mark}", "#endif"]
        lines.append(f"#include <{choose.choice(system)}>")
        return "\n".join(lines) + "\n"

    root = project(tmp_path, {name: text() for name in [*headers, "src/a.c"]})

    found, exact = closure(root), asked(root)

    assert found is not None
    assert found[0] >= exact[0]
    assert found[1] >= exact[1]


def test_a_header_of_the_project_in_the_place_of_a_system_one_is_found(tmp_path):
    files = {
        "src/a.c": "#include <stdio.h>\n",
        "first/bits/types.h": "#include_next <bits/types.h>",
    }
    root = project(tmp_path, files)

    found = closure(root)

    assert found is not None
    assert "first/bits/types.h" in found[0]
    assert found[0] >= asked(root)[0]


def test_conditions_are_not_evaluated(tmp_path):
    files = {"src/a.c": '#if 0\n#include "x.h"\n#endif\n', "first/x.h": "", "first/y.h": ""}

    found = closure(project(tmp_path, files))

    assert found is not None
    assert found[0] == {"src/a.c", "first/x.h"}


@pytest.mark.parametrize(
    ("files", "options"),
    [
        ({"src/a.c": '#define H "x.h"\n#include H\n'}, ""),
        ({"src/a.c": '#include "y.h"\n', "first/y.h": "#define H <x.h>\n#include H\n"}, ""),
        ({"src/a.c": ""}, '"-include", "first/x.h",'),
        ({"src/a.c": ""}, '"-isysroot", "/",'),
        ({"src/a.c": ""}, '"-Wp,-I,src",'),
        ({"src/a.c": ""}, '"-I=/usr/include",'),
        ({"src/a.c": ""}, '"-Bsrc",'),
    ],
)
def test_the_unusual_is_left_to_the_compiler(tmp_path, files, options):
    root = project(tmp_path, {"first/x.h": "", **files}, options)

    assert closure(root) is None


def test_a_search_path_in_the_environment_is_left_to_the_compiler(tmp_path, monkeypatch):
    monkeypatch.setenv("CPATH", str(tmp_path))

    assert closure(project(tmp_path, {"src/a.c": ""})) is None


def test_dots_after_a_link_are_left_to_the_compiler(tmp_path):
    files = {"src/a.c": '#include "link/../x.h"\n', "first/deep/keep": "", "src/x.h": ""}
    root = project(tmp_path, files)
    (root / "src/link").symlink_to("../first/deep")
    (root / "first/x.h").write_text("")

    assert closure(root) is None


def test_dots_through_a_folder_need_the_folder(tmp_path):
    files = {
        "src/a.c": '#include "sub/../x.h"\nint a = X;\n',
        "src/sub/k": "",
        "src/x.h": "#define X 1",
    }
    root = project(tmp_path, files)
    found = plan(root)

    runner = Runner(isolated=tmp_path / "scratch")
    runner.run(found)

    paths = {entry.path for entry in runner.resolved["cc:src/a.c"].tree.entries}
    assert f"{PROJECT_MOUNT}/src/sub" in paths


GENERATE = """
[[step]]
name = "generate"
run = "echo '#define N 1' > {out}"
inputs = []
out = "first/made.h"

[[step]]
name = "cc"
run = ["cc", "-Ifirst", "-c", "a.c", "-o", "a.o"]
inputs = ["a.c"]
out = "a.o"
scan = "cc"
"""


@pytest.mark.parametrize("waits", [True, False])
def test_a_generated_header_counts_when_it_is_waited_for(tmp_path, waits):
    needs = 'needs = ["generate"]\n' if waits else ""
    files = {"vitte-dist.toml": GENERATE + needs, "a.c": '#include "made.h"\n', "first/made.h": ""}
    found = closure(write(tmp_path / "p", files), "cc")

    assert (found is not None and "first/made.h" in found[0]) == waits


def test_the_action_runs_with_what_was_found_and_nothing_else(tmp_path):
    files = {
        "src/a.c": '#include "h.h"\n#include <limits.h>\nint a = H;\n',
        "second/h.h": '#ifdef NEVER\n#include "absent.h"\n#endif\n#include "deep/d.h"\n',
        "second/deep/d.h": "#if __has_include(<secret.h>)\n#error seen\n#endif\n#define H 7\n",
        "third/secret.h": "",
    }
    root = project(tmp_path, files)
    runner = Runner(isolated=tmp_path / "scratch")

    runner.run(plan(root))

    isolated = (root / "build/a.o").read_bytes()
    argv = ["cc", "-Ifirst", "-Isecond", "-c", "src/a.c", "-o", "build/a.o"]
    subprocess.run(argv, cwd=root, check=True)
    assert (root / "build/a.o").read_bytes() == isolated


def test_no_compiler_is_asked_twice_for_its_folders(tmp_path):
    root = project(tmp_path, {"src/a.c": "#include <stdio.h>\n", "src/b.c": ""})
    memory, store = IncludeMemory(), Memory()
    for _ in range(2):
        found = plan(root)
        one = resolver(found, store, includes=memory)
        for step in found.steps:
            one.resolve(step)
        assert one.scanner.probes == 0

    assert memory.paths.probes == 1


def test_a_changed_header_is_read_again(tmp_path):
    root = project(tmp_path, {"src/a.c": '#include "x.h"\n', "first/x.h": "", "first/y.h": ""})
    memory, found = IncludeMemory(), plan(root)
    one = resolver(found, includes=memory)
    before = one.resolve(found.steps[0])
    write(root, {"first/x.h": '#include "y.h"\n'})
    os.utime(root / "first/x.h")

    after = one.resolve(found.steps[0])

    paths = {entry.path for entry in after.tree.entries}
    assert f"{PROJECT_MOUNT}/first/y.h" in paths
    assert after.digest != before.digest


def test_the_standard_headers_of_cxx_need_no_asking(tmp_path):
    step = STEP.format(options='"-std=c++17",').replace('"cc", ', '"c++", ').replace(".c", ".cpp")
    files = {"vitte-dist.toml": step, "src/a.cpp": "#include <map>\n#include <iostream>\n"}
    root = write(tmp_path / "p", files)

    found = closure(root, "cc:src/a.cpp")

    assert found is not None
    assert found[1] >= asked(root, "cc:src/a.cpp")[1]
