"""Compiler command lines: recognised, read, turned into a question for headers."""

import subprocess

import pytest
from planning import write

from mesh.planners import cc
from mesh.planners.makerule import prerequisites


def call(line: str) -> cc.CompilerCall:
    found = cc.parse(tuple(line.split()))
    assert found is not None
    return found


@pytest.mark.parametrize(
    "program",
    ["cc", "/usr/bin/gcc", "arm-none-eabi-g++", "x86_64-linux-gnu-gcc-12", "clang++-15", "c++"],
)
def test_compilers_are_recognised(program):
    assert cc.parse((program, "-c", "a.c")) is not None


@pytest.mark.parametrize("program", ["gcc-ar", "ld", "cmake", "ccache", "accurate", "gccgo"])
def test_other_programs_are_not(program):
    assert cc.parse((program, "-c", "a.c")) is None


def test_launchers_are_looked_through():
    assert call("ccache sccache gcc -c a.c").driver == ("gcc",)
    assert call("zig cc -c a.c").driver == ("zig", "cc")
    assert call("python3 -m ziglang c++ -c a.c").driver == ("python3", "-m", "ziglang", "c++")


def test_the_probe_keeps_meaning_and_drops_results():
    line = "gcc -DX=1 -I inc -isystem/opt/i -std=c11 -O2 -MD -MT a.o -MF a.o.d -MQx -o a.o -c a.c"

    probe = cc.dependency_probe(call(line))

    assert probe == ("gcc", "-DX=1", "-I", "inc", "-isystem/opt/i", "-std=c11", "-O2", "a.c", "-M")
    assert call(line).include_dirs == ("inc", "/opt/i")


@pytest.mark.parametrize(
    "line",
    ["gcc a.o -o app", "gcc -c a.c b.c", "gcc -c x.h -o x.h.gch", "gcc -E a.c", "gcc --version"],
)
def test_what_is_no_compilation_of_one_source_has_no_probe(line):
    assert cc.dependency_probe(call(line)) is None


def test_links_name_their_libraries():
    link = call("g++ -m32 -fuse-ld=gold -L lib a.o -lfoo -l bar -o app")

    assert link.links
    assert not link.compiles
    assert link.is_cxx
    assert link.libraries == ("foo", "bar")
    assert link.library_dirs == ("lib",)
    assert link.target_options == ("-m32", "-fuse-ld=gold")


def test_the_probe_asks_a_real_compiler(tmp_path):
    write(
        tmp_path,
        {"a.c": "#ifdef WITH\n#include <h.h>\n#endif\nint x;\n", "inc/h.h": "int y;\n"},
    )
    line = "cc -DWITH -Iinc -MD -MF a.d -c a.c -o a.o"

    probe = cc.dependency_probe(call(line))
    assert probe is not None
    done = subprocess.run(probe, cwd=tmp_path, capture_output=True, text=True, check=True)

    assert {"a.c", "inc/h.h"} <= set(prerequisites(done.stdout))
    assert not (tmp_path / "a.o").exists()
    assert not (tmp_path / "a.d").exists()
