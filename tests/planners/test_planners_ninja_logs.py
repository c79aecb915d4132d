"""ninja's logs: our hashes and records against what real ninjas write and accept."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planning import write

from mesh.planners.base import NinjaNote, Plan
from mesh.planners.ninja.depslog import DepsLog
from mesh.planners.ninja.hashes import murmur64a, rapidhash
from mesh.planners.ninja.logs import Recorded, choose_version, record

IN_VENV = Path(sys.executable).parent / "ninja"
NINJAS = [
    pytest.param(path, id=name)
    for name, path in (("system", Path("/usr/bin/ninja")), ("pypi", IN_VENV))
    if path.exists()
]


def run(ninja: Path, build: Path, *words: str) -> str:
    done = subprocess.run([ninja, "-C", build, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def env_with(ninja: Path) -> dict[str, str]:
    return {"PATH": f"{ninja.parent}:/usr/bin:/bin"}


def version_of(ninja: Path) -> tuple[int, ...]:
    text = subprocess.run([ninja, "--version"], capture_output=True, text=True).stdout
    return tuple(int(part) for part in text.split(".")[:2])


@pytest.mark.parametrize("ninja", NINJAS)
def test_hashes_are_those_of_the_real_ninja(tmp_path, ninja):
    """Commands of every length from 1 to 200, the shortest ones in every branch of the hashes."""
    lines = ["rule r\n  command = $c\n"]
    lines += [
        f"build o{n}: r\n  c = {': ' + 'x' * (n - 2) if n > 1 else ':'}\n" for n in range(1, 201)
    ]
    write(tmp_path, {"build.ninja": "".join(lines)})

    run(ninja, tmp_path)

    log = (tmp_path / ".ninja_log").read_text().splitlines()
    version = int(re.fullmatch(r"# ninja log v(\d+)", log[0])[1])
    ours = rapidhash if version == 7 else murmur64a
    assert len(log) == 201
    for line in log[1:]:
        output, digest = line.split("\t")[3:]
        n = int(output[1:])
        command = ": " + "x" * (n - 2) if n > 1 else ":"
        assert len(command) == n
        assert f"{ours(command.encode()):x}" == digest


@given(st.binary(max_size=300))
def test_hashes_are_64_bits_of_any_bytes(data):
    assert 0 <= murmur64a(data) < 1 << 64
    assert 0 <= rapidhash(data) < 1 << 64


PROJECT = {
    "build.ninja": (
        "rule cc\n  command = cc -I. -MD -MF $out.d -c $in -o $out\n  deps = gcc\n"
        "  depfile = $out.d\n"
        "rule ld\n  command = cc @$out.rsp -o $out\n  rspfile = $out.rsp\n"
        "  rspfile_content = $in_newline\n"
        "rule cat\n  command = cat $in > $out\n  restat = 1\n"
        "build gen.h: cat gen.in\n"
        "build a.o: cc a.c || gen.h\n"
        "build b.o: cc b.c || gen.h\n"
        "build app: ld a.o b.o\n"
    ),
    "gen.in": "int gen(void);\n",
    "h.h": "int h;\n",
    "a.c": '#include "h.h"\n#include "gen.h"\nint main(void) { return 0; }\n',
    "b.c": "int b;\n",
}


@pytest.fixture
def built(tmp_path):
    """Everything built as the executor would leave it: outputs, depfiles, no logs."""
    root = write(tmp_path / "p", PROJECT)
    write(root, {"app.rsp": "a.o\nb.o"})
    for command in (
        "cat gen.in > gen.h",
        "cc -I. -MD -MF a.o.d -c a.c -o a.o",
        "cc -I. -MD -MF b.o.d -c b.c -o b.o",
        "cc @app.rsp -o app",
    ):
        subprocess.run(["/bin/sh", "-c", command], cwd=root, check=True)
    return root


def notes() -> list[Recorded]:
    def compiled(name: str) -> NinjaNote:
        command = f"cc -I. -MD -MF {name}.o.d -c {name}.c -o {name}.o"
        return NinjaNote((f"{name}.o",), command, (f"{name}.c",), "gcc", f"{name}.o.d")

    link = NinjaNote(("app",), "cc @app.rsp -o app;rspfile=a.o\nb.o", ("a.o", "b.o"))
    cat = NinjaNote(("gen.h",), "cat gen.in > gen.h", ("gen.in",), restat=True)
    return [Recorded(each, 1, 2) for each in (cat, compiled("a"), compiled("b"), link)]


def plan_of(root: Path) -> Plan:
    return Plan("ninja", root, (), (), "", build_dir=root)


@pytest.mark.parametrize("ninja", NINJAS)
def test_after_recording_ninja_has_nothing_to_do(built, ninja):
    record(plan_of(built), notes(), env_with(ninja))

    assert "no work to do" in run(ninja, built, "-n")
    assert not (built / "a.o.d").exists(), "ninja removes what it has read into its deps log"
    assert "h.h" in run(ninja, built, "-t", "deps", "a.o")


@pytest.mark.parametrize("ninja", NINJAS)
def test_a_touched_header_makes_exactly_its_dependents_dirty(built, ninja):
    record(plan_of(built), notes(), env_with(ninja))

    write(built, {"h.h": "int h; /* newer */\n"})
    todo = run(ninja, built, "-n", "-v")

    assert "-c a.c" in todo
    assert "-c b.c" not in todo
    assert "-o app" in todo
    assert "gen.h" not in todo


@pytest.mark.parametrize("ninja", NINJAS)
def test_a_file_that_changed_after_it_was_read_is_out_of_date(built, ninja):
    as_read = {each.note.outputs[0]: each for each in notes()}
    when_read_ns = (built / "a.c").stat().st_mtime_ns
    write(built, {"b.c": "int b; /* edited during the run */\n"})
    # The output is placed after the edit, and is newer than it.
    (built / "b.o").touch()
    (built / "app").touch()
    done = [
        Recorded(
            each.note,
            1,
            2,
            newest_input_ns=max(when_read_ns, (built / "gen.in").stat().st_mtime_ns),
        )
        if name == "b.o"
        else each
        for name, each in as_read.items()
    ]

    record(plan_of(built), done, env_with(ninja))

    todo = run(ninja, built, "-n", "-v")
    assert "-c b.c" in todo
    assert "-c a.c" not in todo


@pytest.mark.parametrize("ninja", NINJAS)
def test_outputs_that_were_there_already_are_made_newer_than_their_inputs(built, ninja):
    write(built, {"a.c": PROJECT["a.c"]})  # the same bytes, a newer time

    record(plan_of(built), notes(), env_with(ninja))

    assert "no work to do" in run(ninja, built, "-n")


@pytest.mark.parametrize("ninja", NINJAS)
def test_records_are_added_to_what_ninja_wrote(built, ninja):
    run(ninja, built)
    write(built, {"h.h": "int changed;\n"})
    subprocess.run(
        ["/bin/sh", "-c", "cc -I. -MD -MF a.o.d -c a.c -o a.o && cc a.o b.o -o app"],
        cwd=built,
        check=True,
    )

    record(plan_of(built), [notes()[1], notes()[3]], env_with(ninja))

    assert "no work to do" in run(ninja, built, "-n")


def test_without_a_depfile_the_scan_says_what_was_read(built):
    ninja = Path(shutil.which("ninja") or "")
    (built / "a.o.d").unlink()
    done = notes()
    reads = (str(built / "a.c"), str(built / "h.h"), str(built / "gen.h"))
    done[1] = Recorded(done[1].note, 1, 2, reads=reads)

    record(plan_of(built), done, env_with(ninja))

    assert "no work to do" in run(ninja, built, "-n")
    assert "\n    gen.h\n" in run(ninja, built, "-t", "deps", "a.o")


@pytest.mark.parametrize("ninja", NINJAS)
def test_the_version_follows_the_ninja_and_a_log_that_is_there(tmp_path, ninja):
    expected = 7 if version_of(ninja) >= (1, 13) else 5

    assert choose_version(tmp_path, env_with(ninja)) == (expected, False)
    write(tmp_path, {".ninja_log": f"# ninja log v{expected}\n"})
    assert choose_version(tmp_path, env_with(ninja)) == (expected, True)
    write(tmp_path, {".ninja_log": "# ninja log v7\n"})
    assert choose_version(tmp_path, env_with(ninja)) == (7, True)
    write(tmp_path, {".ninja_log": "# ninja log v4\n"})
    assert choose_version(tmp_path, env_with(ninja)) == (expected, False)


def test_without_a_ninja_the_log_decides(tmp_path):
    nobody = {"PATH": "/nonexistent"}

    assert choose_version(tmp_path, nobody) == (7, False)
    write(tmp_path, {".ninja_log": "# ninja log v5\n"})
    assert choose_version(tmp_path, nobody) == (5, True)


@given(st.binary(max_size=80))
def test_a_damaged_deps_log_is_repaired(tmp_path_factory, junk):
    path = tmp_path_factory.mktemp("deps") / ".ninja_deps"
    first = DepsLog(path)
    first.add("a.o", 5, ["a.c", "h.h"])
    first.save()
    whole = path.read_bytes()
    path.write_bytes(whole + junk)

    second = DepsLog(path)
    second.add("b.o", 6, ["h.h"])
    second.save()

    assert path.read_bytes().startswith(whole)
    build = write(
        path.parent,
        {"build.ninja": "rule r\n  command = c\n  deps = gcc\n  depfile = d\nbuild b.o: r\n"},
    )
    assert "h.h" in run(Path(shutil.which("ninja") or ""), build, "-t", "deps", "b.o")
