"""vitte-dist.toml: every mistake is found, with its line and what was expected."""

from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.errors import ProjectFileError
from mesh.limits import GIB, MIB
from mesh.planners.base import Kind
from mesh.planners.steps.file import StepTable, parse_project_file
from mesh.planners.steps.lines import find_lines
from mesh.planners.steps.template import TemplateError, in_path, in_shell, in_words

FILE = Path("/p/vitte-dist.toml")

EVERYTHING = """
[project]
name = "demo"
env = ["CC"]

[[step]]
name = "compile"
foreach = "src/**/*.c"
run = "cc -c {in} -o {out}"
out = "build/{stem}.o"
inputs = ["include/**/*.h"]
scan = "cc"
timeout = "90s"
memory = "512MiB"

[[step]]
name = "measure"
kind = "bench"
run = ["./bench"]
needs = ["compile"]
env = { A = "1" }
cwd = "sub"
tools = ["perf"]
local = true
"""


def test_everything_at_once():
    found = parse_project_file(FILE, EVERYTHING)

    compile_, measure = found.steps
    assert found.name == "demo"
    assert found.env == ("CC",)
    assert compile_.run == "cc -c {in} -o {out}"
    assert compile_.foreach == ("src/**/*.c",)
    assert compile_.timeout_s == 90
    assert compile_.memory_bytes == 512 * MIB
    assert compile_.cache
    assert compile_.line == 6
    assert measure.kind is Kind.BENCH
    assert measure.run == ("./bench",)
    assert not measure.cache, "a measurement from a cache measures nothing"
    assert measure.memory_bytes == 8 * GIB
    assert measure.env == (("A", "1"),)


@pytest.mark.parametrize(
    ("text", "line", "problem", "expected"),
    [
        ("[project]\nnam = 1\n", 2, "unknown key `nam`", "`name`"),
        ("[[step]]\nname='a'\nrun='b'\n\nneds=['c']\n", 5, "unknown key `neds`", "`needs`"),
        ("[[stepp]]\n", 1, "unknown key `stepp`", "`step`"),
        ("\n[[step]]\nname = 'a'\n", 2, "no `run`", "run = ..."),
        ("[[step]]\nrun = 'a'\n", 1, "no `name`", "name = ..."),
        ("[[step]]\nname='a b'\nrun='x'\n", 2, "`name` is 'a b'", "letters"),
        ("[[step]]\nname='a'\nrun=3\n", 3, "`run` is 3", "a shell command"),
        ("[[step]]\nname='a'\nrun=[]\n", 3, "`run` is []", "a list of words"),
        ("[[step]]\nname='a'\nrun='x'\nkind='tst'\n", 4, "'tst'", '"test"'),
        ("[[step]]\nname='a'\nrun='x'\ntimeout='fast'\n", 4, "'fast'", '"5m"'),
        ("[[step]]\nname='a'\nrun='x'\ntimeout=true\n", 4, "True", "a duration"),
        ("[[step]]\nname='a'\nrun='x'\nmemory='2GB'\n", 4, "'2GB'", '"2GiB"'),
        ("[[step]]\nname='a'\nrun='x'\nscan='javac'\n", 4, "'javac'", '"cc"'),
        ("[[step]]\nname='a'\nrun='x'\ncache='no'\n", 4, "'no'", "true or false"),
        ("[[step]]\nname='a'\nrun='x'\nenv={A=1}\n", 4, "`env`", "a table of strings"),
        ("[[step]]\nname='a'\nrun='x'\nneeds='b'\n", 4, "no step `b`", "the name of a step"),
        (
            "[[step]]\nname='abc'\nrun='x'\n[[step]]\nname='b'\nrun='x'\nneeds='abd'\n",
            7,
            "`abd`",
            "`abc`",
        ),
        (
            "[[step]]\nname='a'\nrun='x'\n[[step]]\nname='a'\nrun='x'\n",
            5,
            "two steps",
            "another name",
        ),
        ("step = 3\n", 1, "array of tables", "[[step]]"),
        ("project = 3\n", 1, "not a table", "[project]"),
        ("a = \n", 1, "Invalid value", "TOML"),
        ("[[step]]\nname = 'a'\nrun = 'unclosed\n", 3, "", "TOML"),
    ],
)
def test_mistakes_are_pointed_at(text, line, problem, expected):
    with pytest.raises(ProjectFileError) as caught:
        parse_project_file(FILE, text)

    params = caught.value.params
    assert params["line"] == line
    assert problem in str(params["problem"])
    assert expected in str(params["expected"])


def test_lines_are_found_past_long_values():
    text = (
        "[[step]]\n"
        'name = "a"\n'
        "run = [\n"
        '  "x", # name = "not this"\n'
        "  \"name = ']'\",\n"
        "]\n"
        'out = """\n'
        "kind = 3\n"
        '"""\n'
        "[[step]]\n"
        'kind = "build"\n'
    )

    lines = find_lines(text)

    assert lines.of("step", 0, "name") == 2
    assert lines.of("step", 0, "run") == 3
    assert lines.of("step", 0, "out") == 7
    assert lines.of("step", 1) == 10
    assert lines.of("step", 1, "kind") == 11
    assert lines.of("step", 1, "missing") == 10


def complaint(text: str) -> ProjectFileError | None:
    try:
        parse_project_file(FILE, text)
    except ProjectFileError as error:
        return error
    return None


toml_values = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=5) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(
        st.sampled_from([*(field.name for field in attrs.fields(StepTable)), "timeout", "x"]),
        toml_values,
    )
)
def test_any_values_give_a_file_or_a_project_file_error(table):
    def shown(value: object) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, list):
            return "[" + ", ".join(map(shown, value)) + "]"
        if isinstance(value, str):
            return '"' + "".join(f"\\U{ord(char):08x}" for char in value) + '"'
        return repr(value)

    text = "[[step]]\n" + "".join(f"{key} = {shown(value)}\n" for key, value in table.items())
    error = complaint(text)
    assert error is None or 1 <= int(str(error.params["line"])) <= text.count("\n") + 1


@given(st.text(max_size=200))
def test_any_text_gives_a_file_or_a_project_file_error(text):
    error = complaint(text)
    assert error is None or "vitte-dist.toml" in str(error)


VALUES = {"in": ("a b.c",), "out": ("x", "y z"), "none": ()}


def test_substitution_quotes_for_the_shell_and_spreads_in_arrays():
    assert in_shell("cc {in} -o {out} {{}} {none}", VALUES) == "cc 'a b.c' -o x 'y z' {} "
    assert in_words("{out}", VALUES) == ("x", "y z")
    assert in_words("{none}", VALUES) == ()
    assert in_words("-I{in}", VALUES) == ("-Ia b.c",)
    assert in_path("{in}.o", VALUES) == "a b.c.o"


@pytest.mark.parametrize("template", ["{unknown}", "{", "a}", "{a{b}}"])
def test_placeholders_that_mean_nothing(template):
    with pytest.raises(TemplateError):
        in_shell(template, VALUES)


def test_a_list_where_one_word_is_wanted():
    with pytest.raises(TemplateError, match="2 words"):
        in_words("-o{out}", VALUES)
