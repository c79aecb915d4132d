"""One look at the project serves many steps, but none that waited for what was made since then."""

import os
from pathlib import Path

import pytest

from mesh.cas.filehash import FileHasher
from mesh.node.runs.chunks import GLANCE_S, Chunks, ChunksConfig
from mesh.planners.base import Kind, PlanRequest
from mesh.planners.registry import make_plan
from mesh.planners.resolve import Resolver, ResolverConfig
from mesh.ports.real.exec import RealExec

STEPS = """
[[step]]
name = "cc"
foreach = "*.c"
run = ["cc", "-c", "{in}", "-o", "{out}"]
out = "{stem}.o"
scan = "cc"
"""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "vitte-dist.toml").write_text(STEPS)
    for name in ("a.c", "b.c"):
        (tmp_path / name).write_text('#if __has_include("late.h")\n#include "late.h"\n#endif\n')
    return tmp_path


def chunks_of(root: Path, *, stopped=lambda: False):
    plan = make_plan(PlanRequest(kind=Kind.BUILD, cwd=root, env=dict(os.environ)))
    resolver = Resolver(ResolverConfig(plan, FileHasher()))
    return Chunks(ChunksConfig(resolver, plan, RealExec(), stopped))


def headers(answers):
    ((_, resolved),) = answers
    return [Path(entry.path).name for entry in resolved.tree.entries if entry.path.endswith(".h")]


async def test_steps_of_one_moment_share_what_was_seen(project):
    chunks = chunks_of(project)
    assert headers(await chunks.resolve([0], 1.0, 2.0)) == []
    (project / "late.h").write_text("")
    assert headers(await chunks.resolve([1], 1.0, 2.0 + GLANCE_S / 2)) == []


async def test_a_step_sees_what_was_placed_before_it_became_ready(project):
    chunks = chunks_of(project)
    assert headers(await chunks.resolve([0], 1.0, 2.0)) == []
    (project / "late.h").write_text("")
    assert headers(await chunks.resolve([1], 2.0, 2.0)) == ["late.h"]


async def test_a_moment_ends(project):
    chunks = chunks_of(project)
    assert headers(await chunks.resolve([0], 1.0, 2.0)) == []
    (project / "late.h").write_text("")
    assert headers(await chunks.resolve([1], 1.0, 2.0 + GLANCE_S)) == ["late.h"]


async def test_a_stopped_run_resolves_nothing_more(project):
    chunks = chunks_of(project, stopped=lambda: True)
    assert await chunks.resolve([0, 1], 1.0, 2.0) == []


async def test_a_file_that_is_missing_is_the_step_s_own_error(project):
    chunks = chunks_of(project)
    (project / "a.c").unlink()
    answers = await chunks.resolve([0, 1], 1.0, 2.0)
    assert [type(answer).__name__ for _, answer in answers] == ["MissingInput", "Resolved"]
