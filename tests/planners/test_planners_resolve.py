"""From steps to actions: what counts as an input, and what a cached header scan survives."""

import os
import threading

import pytest
from planning import Memory, plan, resolver, step_named, write

from mesh.action.model import DIRECTORY, PROJECT_MOUNT, SYMLINK, check_entries
from mesh.cas.filehash import FileHasher
from mesh.errors import MissingInput, ToolNotFound
from mesh.types import digest_of
from mesh.wire.schema import decode_struct, encode_struct

COMPILE = """
[[step]]
name = "cc"
foreach = "src/*.c"
run = ["cc", "-Ifirst", "-Isecond", "-c", "{in}", "-o", "{out}"]
out = "build/{stem}.o"
scan = "cc"
"""

FILES = {
    "vitte-dist.toml": COMPILE,
    # A computed name: only the compiler can tell (the include scanner has tests of its own).
    "src/a.c": '#define H "h.h"\n#include H\n#include "../deep/d.h"\nint a;\n',
    "src/b.c": "#include <stdio.h>\nint b;\n",
    "second/h.h": "int h;\n",
    "first/unused.h": "int unused;\n",
    "deep/d.h": "int d;\n",
}


@pytest.fixture
def project(tmp_path):
    return write(tmp_path / "p", FILES)


def resolve(project, name="cc:src/a.c", store=None, hasher=None):
    found = plan(project)
    return resolver(found, store, hasher).resolve(step_named(found, name))


def paths(resolved):
    prefix = PROJECT_MOUNT + "/"
    return {entry.path.removeprefix(prefix) for entry in resolved.tree.entries}


def test_an_action_and_its_blobs_belong_together(project):
    resolved = resolve(project)

    assert resolved.cacheable
    assert resolved.digest == digest_of(resolved.action_bytes)
    assert resolved.action.inputs == digest_of(resolved.tree_bytes)
    assert resolved.action.toolchain == digest_of(resolved.toolchain_bytes)
    assert decode_struct(type(resolved.tree), resolved.tree_bytes) == resolved.tree
    assert encode_struct(resolved.action) == resolved.action_bytes
    check_entries(resolved.tree.entries, resolved.action.mounts)
    for entry in resolved.tree.entries:
        if entry.kind not in {SYMLINK, DIRECTORY}:
            assert digest_of(resolved.sources[entry.digest].read_bytes()) == entry.digest


def test_headers_inside_are_inputs_and_headers_outside_are_tools(project):
    inside = resolve(project)
    outside = resolve(project, "cc:src/b.c")

    assert paths(inside) == {"src/a.c", "second/h.h", "deep/d.h", "first"}
    assert inside.tree.entries[1].kind == DIRECTORY, "include folders exist, even if unused"
    assert any(tool.path.endswith("/stdio.h") for tool in outside.toolchain.tools)
    assert any(tool.path.endswith("/cc1") for tool in outside.toolchain.tools)
    assert not any(tool.path.startswith(str(project)) for tool in outside.toolchain.tools)


def test_only_a_header_that_is_read_makes_a_difference(project):
    before = resolve(project)

    write(project, {"first/unused.h": "int changed;\n"})
    assert resolve(project).digest == before.digest
    write(project, {"second/h.h": "int changed;\n"})
    assert resolve(project).digest != before.digest


def test_a_scan_is_remembered_while_nothing_it_saw_has_changed(project):
    store, hasher = Memory(), FileHasher()

    def probes():
        found = plan(project)
        one = resolver(found, store, hasher)
        one.resolve(step_named(found, "cc:src/a.c"))
        return one.scanner.probes

    assert probes() == 1
    assert probes() == 0
    os.utime(project / "second/h.h")
    assert probes() == 0, "a touched header is the same header"
    write(project, {"second/h.h": "int changed;\n"})
    assert probes() == 1
    write(project, {"src/a.c": FILES["src/a.c"] + "int more;\n"})
    assert probes() == 1
    write(project, {"second/unrelated.h": ""})
    assert probes() == 1, "a new name in an include folder might shadow something"
    assert probes() == 0


@pytest.mark.parametrize("shadow", ["first/h.h", "src/h.h"])
def test_a_new_header_that_shadows_another_is_seen(project, shadow):
    store = Memory()
    before = resolve(project, store=store)
    write(project, {shadow: "int shadow;\n"})

    after = resolve(project, store=store)

    assert shadow in paths(after)
    assert "second/h.h" not in paths(after)
    assert after.digest != before.digest


def test_a_new_header_beside_one_that_was_found_through_its_includer_is_seen(project):
    write(project, {"deep/d.h": '#if __has_include("e.h")\n#include "e.h"\n#endif\n'})
    store = Memory()
    assert "deep/e.h" not in paths(resolve(project, store=store))

    write(project, {"deep/e.h": "int e;\n"})

    assert "deep/e.h" in paths(resolve(project, store=store))


def test_a_damaged_memory_is_no_memory(project):
    store = Memory()
    whole = resolve(project, store=store)
    for garbage in (b"", b"\xff", b"\x80", b"\x84\x81\x81\x61a\x80\x80\x40"):
        store.items = dict.fromkeys(store.items, garbage)
        assert resolve(project, store=store).digest == whole.digest


def test_a_missing_header_is_left_to_the_compiler_and_never_cached(project):
    (project / "second/h.h").unlink()

    resolved = resolve(project)

    assert not resolved.cacheable
    assert "headers" in resolved.uncacheable_why
    assert paths(resolved) == {"src/a.c"}


def test_a_missing_source_is_an_error(project):
    found = plan(project)
    (project / "src/a.c").unlink()

    with pytest.raises(MissingInput, match=r"`src/a\.c`"):
        resolver(found).resolve(step_named(found, "cc:src/a.c"))


def test_a_program_that_is_nowhere(project):
    write(project, {"vitte-dist.toml": '[[step]]\nname="x"\nrun=["no-such-program"]\n'})

    with pytest.raises(ToolNotFound, match="`no-such-program`"):
        resolve(project, "x")


def test_several_threads_at_once(project):
    write(project, {f"src/n{index}.c": '#include "h.h"\n' for index in range(12)})
    found = plan(project)
    one = resolver(found, Memory())
    digests = {}

    def work(step):
        digests.setdefault(step.name, set()).add(one.resolve(step).digest)

    threads = [threading.Thread(target=work, args=(step,)) for step in found.steps * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(digests) == len(found.steps)
    assert all(len(each) == 1 for each in digests.values())


# -- trees ---------------------------------------------------------------------------------------
def tree_of(project, *inputs, out=""):
    names = ", ".join(f'"{name}"' for name in inputs)
    text = f'[[step]]\nname="x"\nrun="true"\ninputs=[{names}]\n{out}'
    write(project, {"vitte-dist.toml": text})
    return resolve(project, "x")


def links(resolved):
    prefix = PROJECT_MOUNT + "/"
    return {
        entry.path.removeprefix(prefix): entry.link
        for entry in resolved.tree.entries
        if entry.kind == SYMLINK
    }


def test_links_inside_stay_links_and_bring_what_they_point_to(project):
    (project / "link.h").symlink_to("second/h.h")
    (project / "absolute.h").symlink_to(project / "deep" / "d.h")

    resolved = tree_of(project, "link.h", "absolute.h")

    assert links(resolved) == {"link.h": "second/h.h", "absolute.h": "deep/d.h"}
    assert paths(resolved) == {"link.h", "absolute.h", "second/h.h", "deep/d.h"}


def test_links_that_lead_outside_are_followed(project, tmp_path):
    write(tmp_path, {"outside/x.h": "int x;\n"})
    (project / "x.h").symlink_to(tmp_path / "outside/x.h")
    (project / "vendor").symlink_to(tmp_path / "outside")

    resolved = tree_of(project, "x.h", "vendor/x.h")

    assert links(resolved) == {}
    assert paths(resolved) == {"x.h", "vendor/x.h"}


def test_a_path_through_a_linked_folder_is_recorded_where_it_is(project):
    (project / "alias").symlink_to("second")

    resolved = tree_of(project, "alias/h.h")

    assert links(resolved) == {"alias": "second"}
    assert paths(resolved) == {"alias", "second/h.h"}
    check_entries(resolved.tree.entries, resolved.action.mounts)


def test_circles_of_links_end(project):
    (project / "loop").mkdir()
    (project / "loop/self").symlink_to("../loop")
    (project / "loop/a").symlink_to("b")
    (project / "loop/b").symlink_to("a")
    write(project, {"loop/file": "x"})

    resolved = tree_of(project, "loop/file", "loop/self/file", "loop/self")

    assert "loop/file" in paths(resolved)
    check_entries(resolved.tree.entries, resolved.action.mounts)


def test_executables_and_empty_folders_are_told_apart(project):
    write(project, {"run.sh": "#!/bin/sh\n"}).joinpath("run.sh").chmod(0o755)
    (project / "data/empty").mkdir(parents=True)
    plain, executable, folder = 0, 1, 3

    resolved = tree_of(project, "run.sh", "data", "src/a.c")

    kinds = {entry.path.rsplit("/", 1)[1]: entry.kind for entry in resolved.tree.entries}
    assert kinds == {"run.sh": executable, "empty": folder, "a.c": plain}


def test_a_folder_brings_no_products_of_other_steps(project):
    (project / "data").mkdir()
    write(project, {"data/kept": "1", "data/made": "from an earlier run"})
    other = '[[step]]\nname="y"\nrun="true > {out}"\nout="data/made"\ninputs=[]\n'

    resolved = tree_of(project, "data", out=other)

    assert paths(resolved) == {"data/kept"}


def test_the_order_of_inputs_does_not_matter(project):
    one = tree_of(project, "src/a.c", "second/h.h")
    two = tree_of(project, "second/h.h", "src/a.c")

    assert one.action.inputs == two.action.inputs
