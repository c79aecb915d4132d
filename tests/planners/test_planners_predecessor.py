"""Headers that are mentioned and not read: their change leaves the earlier action as good."""

import pytest
from planning import Memory, plan, resolver, step_named, write

STEP = """
[[step]]
name = "cc"
foreach = "src/*.c"
run = ["cc", "-Ifirst", "-c", "{in}", "-o", "{out}"]
inputs = ["src/*.c", "first/declared.h"]
out = "build/{stem}.o"
scan = "cc"
"""
FILES = {
    "vitte-dist.toml": STEP,
    "src/a.c": '#include "read.h"\n#include "declared.h"\n#ifdef X\n#include "unread.h"\n#endif\n',
    "first/read.h": "",
    "first/unread.h": "",
    "first/declared.h": "",
}


@pytest.fixture
def project(tmp_path):
    return write(tmp_path / "p", FILES)


def resolve(project, store):
    found = plan(project)
    one = resolver(found, store)
    resolved = one.resolve(step_named(found, "cc:src/a.c"))
    return resolved, one.scanner.probes


def test_a_change_of_what_is_not_read_leaves_the_earlier_action_as_good(project):
    store = Memory()
    first, _ = resolve(project, store)
    write(project, {"first/unread.h": "int changed;\n"})

    second, asked = resolve(project, store)

    assert second.digest != first.digest
    assert second.as_good == first.digest
    assert asked == 1
    third, asked = resolve(project, store)
    assert (third.as_good, asked) == (first.digest, 0), "the compiler's answer is remembered"


def test_nobody_is_asked_while_nothing_changes(project):
    store = Memory()
    resolve(project, store)

    again, asked = resolve(project, store)

    assert (again.as_good, asked) == (None, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"first/read.h": "int changed;\n"},
        {"src/a.c": FILES["src/a.c"] + "int changed;\n"},
        {"src/a.c": "#define X\n" + FILES["src/a.c"], "first/unread.h": "int changed;\n"},
        {"first/read.h": "#define X\n", "first/unread.h": "int changed;\n"},
        {"first/declared.h": "int changed;\n"},
        {"first/unread.h": '#include "new.h"\n', "first/new.h": ""},
        {"src/read.h": ""},
        {"vitte-dist.toml": STEP.replace('"-c"', '"-DX", "-c"'), "first/unread.h": "int y;\n"},
    ],
)
def test_every_other_change_makes_another_action(project, change):
    store = Memory()
    first, _ = resolve(project, store)
    write(project, change)

    second, _ = resolve(project, store)

    assert second.digest != first.digest
    assert second.as_good is None


def test_after_a_change_that_counts_the_new_action_is_the_earlier_one(project):
    store = Memory()
    resolve(project, store)
    write(project, {"first/read.h": "int changed;\n"})
    second, _ = resolve(project, store)
    write(project, {"first/unread.h": "int changed;\n"})

    third, _ = resolve(project, store)

    assert third.as_good == second.digest


def test_a_damaged_memory_is_no_memory(project):
    store = Memory()
    resolve(project, store)
    write(project, {"first/unread.h": "int changed;\n"})
    whole = dict(store.items)
    for damaged in (b"", b"x" * 31, b"x" * 64, b"x" * 200):
        store.items = dict.fromkeys(whole, damaged)
        assert resolve(project, store)[0].as_good is None
