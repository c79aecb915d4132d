"""Which planner is asked, what is said when none applies, and single commands."""

import os
from importlib.metadata import EntryPoint

import pytest
from planning import git, plan, resolver, step_named, write

from mesh.errors import BadPlanner, NoPlan, NotAGitTree, PathEscapes
from mesh.planners import registry
from mesh.planners.base import Kind, Mount, NotMine, Plan, PlanRequest, Step


def test_nothing_to_plan_names_everything_that_was_looked_for(tmp_path):
    with pytest.raises(NoPlan) as caught:
        plan(tmp_path)

    message = caught.value.message()
    for name in ("vitte-dist.toml", "vitte-workspace.json", "vitte-package.json", "build.ninja"):
        assert name in message
    assert "cmake -G Ninja" in caught.value.next_step()


def test_a_vitte_dist_toml_comes_before_a_build_ninja(tmp_path):
    write(
        tmp_path,
        {
            "vitte-dist.toml": '[[step]]\nname="a"\nrun="true"\n',
            "build.ninja": "rule r\n  command = true\nbuild b: r\n",
        },
    )

    assert plan(tmp_path).planner == "steps"
    (tmp_path / "vitte-dist.toml").unlink()
    assert plan(tmp_path).planner == "ninja"


class Makefiles:
    """A planner of another package."""

    name = "makefiles"

    def plan(self, request: PlanRequest) -> Plan | NotMine:
        if not (request.cwd / "Makefile").exists():
            return NotMine("a Makefile")
        step = Step("all", ("true",), "/vitte/project")
        return Plan(self.name, request.cwd, (Mount(request.cwd),), (step,), "one step")


class WithoutPlan:
    pass


def provide(monkeypatch, **points: str) -> None:
    found = [EntryPoint(name, value, registry.GROUP) for name, value in points.items()]
    monkeypatch.setattr(registry, "entry_points", lambda group: found)
    monkeypatch.setattr(registry, "_looked", registry._Looked())


def test_planners_of_other_packages_are_asked_last(tmp_path, monkeypatch):
    provide(monkeypatch, makefiles=f"{__name__}:Makefiles", ninja="nowhere:AnotherNinja")

    with pytest.raises(NoPlan, match="a Makefile"):
        plan(tmp_path)
    write(tmp_path, {"Makefile": ""})
    assert plan(tmp_path).planner == "makefiles"


@pytest.mark.parametrize(
    ("value", "why"),
    [("no_such_module:X", "no_such_module"), (f"{__name__}:WithoutPlan", "no method `plan`")],
)
def test_a_broken_planner_is_named(tmp_path, monkeypatch, value, why):
    provide(monkeypatch, broken=value)

    with pytest.raises(BadPlanner, match="`broken`") as caught:
        plan(tmp_path)
    assert why in caught.value.message()


# -- single commands -----------------------------------------------------------------------------
@pytest.fixture
def tree(tmp_path):
    root = write(
        tmp_path / "tree",
        {"a.txt": "a", "sub/b.txt": "b", ".gitignore": "*.o\n", "x.o": "", "gone.txt": ""},
    )
    git(root, "init", "-q")
    git(root, "add", "a.txt", "gone.txt")
    (root / "gone.txt").unlink()
    return root


def command(where, *argv, **more):
    return plan(where, Kind.COMMAND, argv=argv, **more)


def test_a_command_sees_what_git_sees(tree):
    found = command(tree / "sub", "make", "all")
    step = found.steps[0]

    assert step.argv == ("make", "all")
    assert step.cwd == "/vitte/project/sub"
    assert set(step.inputs) == {
        "/vitte/project/a.txt",
        "/vitte/project/sub/b.txt",
        "/vitte/project/.gitignore",
    }
    assert found.root == tree
    assert not step.cacheable, "nobody has said that it is a function of the tree"


def test_a_command_can_be_vouched_for_and_name_outputs(tree):
    step = command(tree / "sub", "true", cache=True, outputs=("../out", "data/", "b.txt")).steps[0]

    assert step.cacheable
    assert {(each.path, each.directory) for each in step.outputs} == {
        ("/vitte/project/out", False),
        ("/vitte/project/sub/data", True),
        ("/vitte/project/sub/b.txt", False),
    }
    assert "/vitte/project/sub/b.txt" not in step.inputs, "an earlier product is no input"
    for path in ("../../x", "/etc/x", "../.."):
        with pytest.raises(PathEscapes):
            command(tree / "sub", "true", outputs=(path,))


def test_a_command_needs_git(tmp_path):
    with pytest.raises(NotAGitTree):
        command(tmp_path, "true")


def test_files_of_submodules_come_along(tree, tmp_path):
    inner = write(tree / "vendor", {"v.txt": "v", "deep/w.txt": "w"})
    git(inner, "init", "-q")

    inputs = command(tree, "true").steps[0].inputs

    assert {"/vitte/project/vendor/v.txt", "/vitte/project/vendor/deep/w.txt"} <= set(inputs)


def test_the_same_tree_makes_the_same_action_anywhere(tree, tmp_path):
    other = write(tmp_path / "other", {"a.txt": "a", "sub/b.txt": "b", ".gitignore": "*.o\n"})
    git(other, "init", "-q")

    digests = {
        resolver(found).resolve(step_named(found, "command")).digest
        for found in (command(where, "ls", "-R") for where in (tree, other))
    }

    assert len(digests) == 1


def test_packages_are_read_again_when_one_was_installed(tmp_path, monkeypatch):
    packages, asked = tmp_path / "packages", []
    packages.mkdir()
    monkeypatch.setattr(registry, "entry_points", lambda group: asked.append(group) or [])
    monkeypatch.setattr(registry, "_looked", registry._Looked())
    monkeypatch.syspath_prepend(str(packages))
    for _ in range(2):
        registry.load_planners()
    assert len(asked) == 1
    (packages / "other-1.0.dist-info").mkdir()
    os.utime(packages, ns=(1, 1))
    for _ in range(2):
        registry.load_planners()
    assert len(asked) == 2
