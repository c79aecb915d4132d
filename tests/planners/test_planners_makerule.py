"""Make rules: what compilers write, and laws for any text."""

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planning import write

from mesh.planners.makerule import MakeRule, parse_rules, prerequisites

names = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Zs", "Zl", "Zp"))
    | st.sampled_from(" "),
    min_size=1,
    max_size=12,
).filter(lambda name: not name.endswith(("\\", ":")) and "\\:" not in name and name.strip())


def as_gcc_writes(name: str) -> str:
    """The escaping of GCC's mkdeps: `#`, `$`, and spaces with the backslashes before them."""
    out = ""
    slashes = 0
    for char in name:
        if char == " ":
            out += "\\" * (slashes + 1)
        elif char == "$":
            out += "$"
        elif char == "#":
            out += "\\"
        slashes = slashes + 1 if char == "\\" else 0
        out += char
    return out


def has_ambiguous_backslash(name: str) -> bool:
    """GCC writes `\\#` both for `#` and for a backslash before one: no reader can tell."""
    return any(f"\\{char}" in name for char in "#:[]|*")


clear_names = names.filter(lambda name: not has_ambiguous_backslash(name))


@given(st.lists(clear_names, min_size=1, max_size=3), st.lists(clear_names, max_size=6))
def test_what_gcc_writes_is_read_back(targets, needed):
    text = " ".join(map(as_gcc_writes, targets)) + ":"
    text += "".join(" \\\n " + as_gcc_writes(name) for name in needed) + "\n"

    assert parse_rules(text) == (MakeRule(tuple(targets), tuple(needed)),)


@given(st.text(max_size=200))
def test_any_text_is_read_without_an_exception(text):
    for rule in parse_rules(text):
        assert isinstance(rule, MakeRule)


def test_each_prerequisite_comes_once_and_phony_rules_add_nothing():
    text = "a.o: a.c b.h \\\r\n  c.h b.h\n\nb.h:\n\nc.h:\n"

    assert prerequisites(text) == ("a.c", "b.h", "c.h")


@pytest.mark.parametrize(
    ("text", "targets", "needed"),
    [
        ("a.o : b\n", ("a.o",), ("b",)),
        ("a.o b.o: c\n", ("a.o", "b.o"), ("c",)),
        ("x\\ y.o: a\\ b.c $$d.h e\\#f.h\n", ("x y.o",), ("a b.c", "$d.h", "e#f.h")),
        ("c:/x.o: y\n", ("c:/x.o",), ("y",)),
        ("a\\:b.o: y", ("a:b.o",), ("y",)),
        ("a: b\\\\ c", ("a",), ("b\\", "c")),
    ],
)
def test_escapes_and_colons(text, targets, needed):
    assert parse_rules(text) == (MakeRule(targets, needed),)


def test_a_real_compiler_with_awkward_names(tmp_path):
    write(tmp_path, {"a b.c": '#include "h$x #1.h"\n', "h$x #1.h": "int x;\n"})

    done = subprocess.run(
        ["cc", "-M", "a b.c"], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert {"a b.c", "h$x #1.h"} <= set(prerequisites(done.stdout))
