"""One command on a snapshot of the project: `vitte dist run -- CMD`.

The snapshot is every file git tracks or would add, as it is on disk now, mounted at PROJECT_MOUNT;
the command starts in the folder that corresponds to the caller's. What it makes stays where it ran,
except what `--out` names. Its result is not cached unless the caller vouches for it, because nobody
has said that the command is a function of the tree alone.

Deliberately not here: trees outside git (there is no telling what belongs to them): NotAGitTree.
"""

from __future__ import annotations

import posixpath

from mesh.action.model import PROJECT_MOUNT, OutputSpec
from mesh.errors import NotAGitTree, PathEscapes
from mesh.planners import git, shell
from mesh.planners.base import Mount, Plan, PlanRequest, Step
from mesh.planners.environment import step_env


def plan_command(request: PlanRequest) -> Plan:
    """A plan of one step. Raises NotAGitTree, PathEscapes, ToolNotFound, TooManyFiles."""
    assert request.argv, "the command line has refused an empty command"
    cwd = request.cwd.resolve()
    root = git.toplevel(cwd)
    if root is None:
        raise NotAGitTree(root=cwd)
    where = _join(PROJECT_MOUNT, cwd.relative_to(root).as_posix())
    outputs = tuple(_output(where, path, str(root)) for path in request.outputs)
    made = {output.path for output in outputs}
    files = [f"{PROJECT_MOUNT}/{name}" for name in git.visible_files(root)]
    programs = [words[0] for words in shell.commands_of(request.argv)]
    step = Step(
        name="command",
        argv=request.argv,
        cwd=where,
        # PATH is the caller's own: a command such as `make` runs programs that we cannot see.
        env=step_env(programs, request.env, extra=("PATH",)),
        inputs=tuple(path for path in files if not _made(path, made)),
        outputs=outputs,
        cacheable=request.cache,
        display=" ".join(request.argv),
    )
    return Plan(
        planner="command",
        root=root,
        mounts=(Mount(root),),
        steps=(step,),
        explanation=f"one command on a snapshot of {len(files)} files of the git tree `{root}`",
    )


def _output(cwd: str, path: str, root: str) -> OutputSpec:
    full = _join(cwd, path)
    if path.startswith("/") or not full.startswith(PROJECT_MOUNT + "/"):
        raise PathEscapes(path=path, root=root)
    return OutputSpec(full, directory=path.endswith("/"))


def _made(path: str, outputs: set[str]) -> bool:
    """Whether `path` is an output or below one: an earlier product is not an input."""
    while path != PROJECT_MOUNT:
        if path in outputs:
            return True
        path = posixpath.dirname(path)
    return False


def _join(base: str, path: str) -> str:
    return posixpath.normpath(posixpath.join(base, path))
