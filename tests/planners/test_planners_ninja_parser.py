"""build.ninja: the language, compared with what the real ninja makes of the same files."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planning import write

from mesh.errors import DuplicateOutput, PlanCycle, ProjectFileError, UnknownTarget
from mesh.planners.ninja.graph import Graph
from mesh.planners.ninja.parser import Manifest, canonical, parse_manifest, parse_text

FILE = Path("/b/build.ninja")

LANGUAGE = r"""
# a comment
top = one
  # an indented comment
ninja_required_version = 1.5
pool slow
  depth = 2

rule cc
  command = cc $flags -c $in -o $out $
      --more=${extra} $$literal
  description = CC $out
  depfile = $out.d
flags = -O$level
level = 2

rule rsp
  command = link @$out.rsp
  rspfile = $out.rsp
  rspfile_content = $in_newline $flags
  pool = slow

include more.ninja
subninja sub/sub.ninja

build a$ b.o: cc a$ b.c | x.h$:y || order
  flags = -Dquote=$in
  extra = e1
build ./out/../c.o | implicit.txt: cc ./c.c |@ check
build app: rsp a$ b.o c.o
build check: phony app
build order: phony
build escapes: cc $
    dollar$$file.c 'quoted'.c
default app $
   escapes
"""

MORE = "extra = from-include\nrule copy\n  command = cp $in $out\n"
SUB = "extra = from-sub\nflags = -Dsub\nbuild sub.o: cc sub.c\nbuild copied: copy sub.o\n"


@pytest.fixture
def language(tmp_path):
    return write(tmp_path, {"build.ninja": LANGUAGE, "more.ninja": MORE, "sub/sub.ninja": SUB})


def commands_by_ninja(root: Path, *targets: str) -> list[str]:
    done = subprocess.run(
        ["ninja", "-C", root, "-t", "commands", *targets],
        capture_output=True,
        text=True,
        check=True,
    )
    return [line for line in done.stdout.splitlines() if not line.startswith("ninja: Entering")]


def test_commands_are_those_of_the_real_ninja(language):
    manifest = parse_manifest(language / "build.ninja")

    for target in ("a b.o", "sub.o", "copied", "escapes", "app"):
        ours = Graph(manifest).needed([target])
        assert [edge.command for edge in ours if not edge.is_phony] == commands_by_ninja(
            language, target
        )


def test_edges_have_all_their_parts(language):
    manifest = parse_manifest(language / "build.ninja")
    first = manifest.producers["a b.o"]
    second = manifest.producers["c.o"]
    link = manifest.producers["app"]

    assert first.inputs == ("a b.c",)
    assert first.implicit == ("x.h:y",)
    assert first.order_only == ("order",)
    assert first.binding("description") == "CC 'a b.o'"
    assert first.binding("depfile", escape=False) == "a b.o.d"
    assert second.outputs == ("c.o", "implicit.txt")
    assert second.validations == ("check",)
    assert link.binding("rspfile") == "app.rsp"
    assert link.logged_command == "link @app.rsp;rspfile='a b.o'\nc.o -O"
    assert manifest.pools == {"console": 1, "slow": 2}
    assert manifest.defaults == ["app", "escapes"]


def parse(text: str) -> Manifest:
    return parse_text(FILE, text)


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("build a: nothing b\n", 1, "no rule `nothing`"),
        ("rule r\n  command = x\nrule r\n  command = y\n", 4, "there already"),
        ("rule r\n  colour = red\n  command = x\n", 3, "no variable `colour`"),
        ("rule r\n  description = x\n", 3, "no command"),
        ("rule r\n  command = x\n  rspfile = y\n", 4, "half a response file"),
        ("a = $!\n", 1, "escapes nothing"),
        ("x\n", 1, "the end of the line"),
        ("build : phony\n", 1, "no output"),
        ("build a phony\n", 1, "the end of the line"),
        ("rule r\n\tcommand = x\n", 2, "a tab"),
        ("  indented = x\n", 1, ""),
        ("include missing.ninja\n", 1, "cannot read"),
        ("default nothing\n", 1, "`nothing` is no target"),
        ("pool p\n  depth = many\n", 3, "depth = many"),
        ("rule r\n  command = x\nbuild a: r\n  pool = p\n", 5, "no pool `p`"),
    ],
)
def test_mistakes_are_pointed_at(text, line, problem):
    with pytest.raises(ProjectFileError) as caught:
        parse(text)

    assert problem in caught.value.message()
    assert caught.value.params["line"] == line


def test_a_circle_of_rule_variables():
    manifest = parse("rule r\n  command = $description\n  description = $command\nbuild a: r\n")

    with pytest.raises(ProjectFileError, match="command -> description -> command"):
        _ = manifest.edges[0].command


def test_a_circle_of_includes(tmp_path):
    write(tmp_path, {"build.ninja": "include build.ninja\n"})

    with pytest.raises(ProjectFileError, match="too deeply"):
        parse_manifest(tmp_path / "build.ninja")


def test_two_makers_of_one_output():
    with pytest.raises(DuplicateOutput, match="`x`"):
        parse("rule r\n  command = c\nbuild x: r a\nbuild y | x: r b\n")


def test_a_circle_of_edges_is_shown():
    manifest = parse("rule r\n  command = c\nbuild a: r b\nbuild b: r c\nbuild c: r a\n")

    with pytest.raises(PlanCycle, match="a -> b -> c -> a"):
        Graph(manifest).needed(["a"])


def test_phony_targets_that_name_themselves_are_tolerated():
    manifest = parse("build a: phony a b\n")

    assert Graph(manifest).files_of(manifest.edges[0]).hard == ("b",)


def test_phony_edges_are_flattened_and_order_stays_order():
    manifest = parse(
        "rule r\n  command = c\n"
        "build gen: r\n"
        "build late: r\n"
        "build group: phony gen src || late\n"
        "build outer: phony group\n"
        "build x: r in outer || late2\n"
        "build y: r in || outer\n"
        "build late2: phony late\n"
    )
    graph = Graph(manifest)
    x, y = (graph.files_of(manifest.producers[name]) for name in "xy")

    assert x.hard == ("in", "gen", "src")
    assert x.order == ("late",)
    assert y.hard == ("in",)
    assert y.order == ("gen", "src", "late")


def test_long_chains_need_no_recursion():
    lines = ["rule r\n  command = c\nbuild n0: r\nbuild p0: phony n0\n"]
    lines += [f"build p{n}: phony p{n - 1}\n" for n in range(1, 3000)]
    lines += [f"build n{n}: r n{n - 1}\n" for n in range(1, 3000)]
    manifest = parse("".join(lines) + "build x: r p2999 n2999\n")
    graph = Graph(manifest)

    assert len(graph.needed(["x"])) == 6001
    assert graph.files_of(manifest.producers["x"]).hard == ("n0", "n2999")


def test_defaults_without_default_are_what_nothing_uses():
    manifest = parse("rule r\n  command = c\nbuild a: r\nbuild b: r a\nbuild c: r\n")

    assert Graph(manifest).defaults() == ["b", "c"]
    with pytest.raises(UnknownTarget) as caught:
        Graph(manifest).targets(["cc"])
    assert "`c`" in caught.value.next_step()


def test_validations_are_built_too():
    manifest = parse(
        "rule r\n  command = c\nbuild a: r b |@ v\nbuild b: r\nbuild v: r w\nbuild w: r\n"
    )

    assert [edge.outputs[0] for edge in Graph(manifest).needed(["a"])] == ["b", "a", "w", "v"]


@pytest.mark.parametrize(
    ("path", "short"),
    [("./a", "a"), ("a/./b", "a/b"), ("a/../b", "b"), ("../a", "../a"), ("/a//b", "/a/b")],
)
def test_paths_are_canonical_as_in_ninja(path, short):
    assert canonical(path) == short


statement = st.sampled_from(
    [
        *("build ", "rule ", "pool ", "default ", "subninja ", "cc", "phony", "a", "b.o", "x = "),
        *(" ", ": ", " | ", " || ", " |@ ", "\n", "  ", "$", "$\n", "$ ", "$$", "${x}", "$in"),
        *("command = ", "depth = ", "#", "\t", "\r\n", "=", "é", "\0"),
    ]
)


@given(st.lists(statement, max_size=25).map("".join))
def test_any_text_gives_a_manifest_or_a_project_file_error(text):
    try:
        manifest = parse("rule cc\n  command = cc $in\n" + text)
        for edge in manifest.edges:
            assert isinstance(edge.command, str)
        Graph(manifest).needed(manifest.producers)
    except (ProjectFileError, DuplicateOutput, PlanCycle):
        return


safe_names = st.text("ab$ :'\"\\é.", min_size=1, max_size=6).filter(
    lambda name: canonical(name) == name and name.strip() == name
)


@given(safe_names, safe_names, st.text("xy $'\"", max_size=10).map(str.strip))
def test_escaped_names_and_values_come_back(output, source, value):
    def escaped(text: str) -> str:
        return text.replace("$", "$$").replace(" ", "$ ").replace(":", "$:")

    text = f"rule r\n  command = $v\nbuild {escaped(output)}: r {escaped(source)}\n"
    text += f"  v = {value.replace('$', '$$')}\n"

    edge = parse(text).edges[0]

    assert edge.outputs == (output,)
    assert edge.inputs == (source,)
    assert edge.command == value
