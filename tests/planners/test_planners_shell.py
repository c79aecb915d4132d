"""Reading shell lines: words as the shell sees them, and the programs a line runs."""

import shlex
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.planners import shell

words = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8), min_size=1
)


@given(words)
def test_quoted_words_come_back_as_they_were(argv):
    line = "prog " + shlex.join(argv)

    assert shell.simple(line) == ("prog", *argv)


@given(st.text(max_size=60))
def test_any_text_is_read_without_an_exception(line):
    assert isinstance(shell.commands(line), tuple)
    found = shell.simple(line)
    assert found is None or all(isinstance(word, str) for word in found)


@pytest.mark.parametrize(
    "line",
    [
        'printf \'%s\\n\' a\\ b "c d" \'e"f\' g\\\\h -DX=\\"y\\"',
        'printf "%s\\n" "a\\$b" "c\\nd" \'$HOME\' x""y',
        "printf '%s\\n' a \\\n b",
        "printf '%s\\n' a#b # not this",
    ],
)
def test_words_are_those_of_the_real_shell(line):
    by_shell = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=True)
    argv = shell.simple(line)

    assert argv is not None
    direct = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert direct.stdout == by_shell.stdout


@pytest.mark.parametrize(
    "line",
    ["a && b", "a; b", "a > f", "a $X", "a `b`", 'a "$X"', "a *.c", "X=1 a", "~/a", "a 'b", "! a"],
)
def test_what_needs_a_shell_is_not_simple(line):
    assert shell.simple(line) is None


@pytest.mark.parametrize(
    ("line", "programs"),
    [
        ("cd /b && /usr/bin/cmake -E copy a b && :", ["cd", "/usr/bin/cmake", ":"]),
        ("ccache gcc -c x.c", ["ccache", "gcc"]),
        ("env -i A=1 B=2 prog x", ["env", "prog"]),
        ("sh -ec 'one; two | three'", ["sh", "one", "two", "three"]),
        ("cmake -E env A=1 -- prog", ["cmake", "prog"]),
        (
            "cmake -E __run_co_compile --tidy=x --source=y -- /usr/bin/c++ -c y",
            ["cmake", "/usr/bin/c++"],
        ),
        ("if test -f x; then A=1 build >log 2>&1; fi", ["test", "build"]),
        ("(a; b) < in > out", ["a", "b"]),
    ],
)
def test_the_programs_of_a_line(line, programs):
    assert [each[0] for each in shell.commands(line)] == programs


def test_shells_within_shells_end():
    line = "true"
    for _ in range(30):
        line = f"sh -c {shlex.quote(line)}" if len(line) < 5000 else line

    assert shell.commands(line)[0][0] == "sh"
