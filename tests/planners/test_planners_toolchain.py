"""Fingerprints of tools, environments of steps, and version managers."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planning import write

from mesh.action.platform import this_platform
from mesh.cas.filehash import FileHasher
from mesh.errors import ToolNotFound
from mesh.planners import globs
from mesh.planners.base import Mount, Step
from mesh.planners.environment import step_env
from mesh.planners.listing import Listings
from mesh.planners.toolchain import Toolchains


def tools(
    *argv: str, root: Path = Path("/nowhere"), path: str = "/usr/bin:/bin", extra=()
) -> set[str]:
    step = Step("s", argv, "/vitte/project", env=(("PATH", path),), tools=extra)
    return set(Toolchains(FileHasher()).of_step(step, (Mount(root),)))


def ends(found: set[str], *names: str) -> bool:
    return all(any(path.endswith("/" + name) for path in found) for name in names)


def test_a_compilation_brings_the_compiler_proper_and_the_assembler():
    found = tools("cc", "-c", "a.c")

    assert "/usr/bin/cc" in found
    assert ends(found, "cc1", "as")
    assert not ends(found, "libc.so.6")


def test_a_link_brings_start_files_and_libraries():
    found = tools("/bin/sh", "-c", ": && /usr/bin/cc a.o -o app -lm -lpthread && :")

    assert {"/bin/sh", "/usr/bin/cc"} <= found
    assert ends(found, "ld", "collect2", "libc.so.6", "Scrt1.o", "libgcc.a")
    assert not ends(found, "cc1plus")


def test_options_that_choose_another_target_are_asked_for(tmp_path):
    script = write(tmp_path, {"gcc": '#!/bin/sh\necho "$@" >> "$0.log"\nexec /usr/bin/gcc "$@"\n'})
    (script / "gcc").chmod(0o755)

    tools(str(tmp_path / "gcc"), "-m32", "-c", "a.c")

    assert "-m32 -print-search-dirs" in (tmp_path / "gcc.log").read_text()


def test_drivers_are_asked_once(tmp_path):
    write(tmp_path, {"gcc": '#!/bin/sh\necho x >> "$0.log"\nexec /usr/bin/gcc "$@"\n'})
    (tmp_path / "gcc").chmod(0o755)
    chains = Toolchains(FileHasher())
    step = Step("s", (str(tmp_path / "gcc"), "-c", "a.c"), "/vitte/project")

    for _ in range(3):
        chains.of_step(step, (Mount(Path("/nowhere")),))

    assert (tmp_path / "gcc.log").read_text() == "x\n"


def test_a_program_of_the_project_is_no_tool_but_its_system_libraries_are(tmp_path):
    write(tmp_path, {"a.c": "int main(void) { return 0; }\n"})
    subprocess.run(["cc", "a.c", "-o", "app"], cwd=tmp_path, check=True)

    found = tools("./app", root=tmp_path)

    assert not any(path.startswith(str(tmp_path)) for path in found)
    assert ends(found, "libc.so.6")


def test_a_python_of_a_virtual_environment_brings_what_is_installed(tmp_path):
    venv = tmp_path / "venv"
    site = venv / "lib/python3.11/site-packages/some-1.0.dist-info"
    write(site, {"RECORD": "some/__init__.py,sha256=x,3\n"})
    write(venv, {"pyvenv.cfg": "home = /usr/bin\n"})
    (venv / "bin").mkdir()
    (venv / "bin/python").symlink_to(sys.executable)

    found = tools(str(venv / "bin/python"), "-m", "some")

    assert str(site / "RECORD") in found
    assert str(venv / "bin/python") in found


def test_words_that_are_no_programs_are_left_out():
    assert tools("/bin/sh", "-c", "cd /x && my_function; true") >= {"/bin/sh"}


def test_what_is_named_must_be_there():
    with pytest.raises(ToolNotFound, match="`nobody`"):
        tools("nobody")
    with pytest.raises(ToolNotFound, match="`nobody`"):
        tools("/bin/sh", "-c", "true", extra=("nobody",))
    assert "/etc/hostname" in tools("/bin/sh", "-c", "true", extra=("/etc/hostname",))


def test_a_changed_tool_has_another_digest(tmp_path):
    write(tmp_path, {"tool": "#!/bin/sh\n"})
    (tmp_path / "tool").chmod(0o755)
    step = Step("s", (str(tmp_path / "tool"),), "/vitte/project")
    chains = Toolchains(FileHasher())
    before = chains.of_step(step, (Mount(Path("/nowhere")),))

    write(tmp_path, {"tool": "#!/bin/sh\n# changed\n"})

    assert chains.of_step(step, (Mount(Path("/nowhere")),)) != before


def test_the_platform_has_a_name():
    assert this_platform() == f"{sys.platform}-{os.uname().machine}"


# -- environment ---------------------------------------------------------------------------------
def test_path_holds_only_what_matters(tmp_path):
    write(tmp_path, {"mine/tool": "#!/bin/sh\n", "other/thing": "#!/bin/sh\n"})
    (tmp_path / "mine/tool").chmod(0o755)
    caller = {"PATH": f"{tmp_path}/other:{tmp_path}/mine:/usr/bin", "HOME": "/h", "CPATH": "/c"}

    env = dict(step_env(("tool", "cc"), caller))

    assert env == {
        "CPATH": "/c",
        "LANG": "C.UTF-8",
        "PATH": f"{tmp_path}/mine:/usr/bin:/usr/local/bin:/bin",
    }


MANAGER = """#!/bin/sh
test "$1" = which && echo "$(dirname "$0")/../versions/$(cat "$PWD/.version")/bin/$2"
"""


def test_a_shim_is_replaced_by_the_program_it_would_start(tmp_path):
    root = tmp_path / ".asdf"
    files = {"shims/python3": "#!/bin/sh\n", "bin/asdf": MANAGER}
    files |= {f"versions/{version}/bin/python3": "#!/bin/sh\n" for version in ("one", "two")}
    write(root, files)
    for name in files:
        (root / name).chmod(0o755)
    where = write(tmp_path / "project", {".version": "two"})
    caller = {"PATH": f"{root}/shims:/usr/bin", "PWD": str(where)}

    path = dict(step_env(("python3",), caller))["PATH"].split(":")

    assert os.path.realpath(path[0]) == str(root / "versions/two/bin")
    assert f"{root}/shims" not in path
    everything = dict(step_env(("make",), caller, extra=("PATH",)))["PATH"].split(":")
    assert os.path.realpath(everything[0]) == str(root / "versions/two/bin")


# -- names ---------------------------------------------------------------------------------------
names = st.text("ab.*[]?-", min_size=1, max_size=5).filter(lambda name: name not in {".", ".."})
paths = st.lists(names, min_size=1, max_size=3).map("/".join)


@given(st.text("ab*?[]!/-^.&|", max_size=12), st.lists(paths, max_size=4))
def test_any_pattern_selects_some_of_the_files(pattern, files):
    assert set(globs.select(pattern, files)) <= set(files)


@pytest.mark.parametrize(
    ("pattern", "matches"),
    [
        ("*.c", ["a.c"]),
        ("**/*.c", ["a.c", "s/b.c", "s/t/c.c"]),
        ("s/**", ["s/b.c", "s/t/c.c", "s/t/d.h"]),
        ("s/*/*.[ch]", ["s/t/c.c", "s/t/d.h"]),
        ("?.c", ["a.c"]),
        ("s/t/[!d]*", ["s/t/c.c"]),
        ("[", []),
    ],
)
def test_patterns(pattern, matches):
    files = ["a.c", "s/b.c", "s/t/c.c", "s/t/d.h"]

    assert globs.select(pattern, files) == matches


def test_listings_change_with_names_and_not_with_contents(tmp_path):
    root = write(tmp_path, {"i/a.h": "1", "i/sub/b.h": "1", "i/.hidden": "1", "i/made.h": "1"})
    listings = Listings({f"{root}/i/made.h"})
    before = listings.digest([f"{root}/i"])

    write(root, {"i/a.h": "2", "i/.another": ""})
    (root / "i/made.h").unlink()
    assert listings.digest([f"{root}/i"]) == before
    write(root, {"i/sub/c.h": ""})
    after = listings.digest([f"{root}/i"])
    assert after != before
    (root / "i/sub/c.h").unlink()
    assert listings.digest([f"{root}/i"]) == before
    shutil.rmtree(root / "i/sub")
    assert listings.digest([f"{root}/i"]) != before
    assert listings.digest([f"{root}/missing"]) == listings.digest([f"{root}/missing"])


def test_listings_of_folders_that_link_to_each_other_end(tmp_path):
    root = write(tmp_path, {"i/a.h": ""})
    (root / "i/loop").symlink_to("..")

    assert Listings().digest([f"{root}/i"]) is not None
