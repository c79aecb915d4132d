"""Which files git shows, and trees that only look like git's."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mesh.errors import GitFailed
from mesh.planners import git
from mesh.planners.globs import project_files


def test_a_source_archive_of_a_submodule_is_just_a_folder(tmp_path: Path) -> None:
    (tmp_path / ".git").write_text("gitdir: ../../.git/modules/zlib\n")
    (tmp_path / "a.c").write_text("")
    assert git.toplevel(tmp_path) is None
    assert project_files(tmp_path) == ("a.c",)


def test_a_worktree_is_a_git_tree(tmp_path: Path) -> None:
    main, tree = tmp_path / "main", tmp_path / "tree"
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.invalid")
    subprocess.run(["git", "init", "-q", main], check=True)
    subprocess.run(
        ["git", "-C", main, *identity, "commit", "-q", "--allow-empty", "-m", "x"], check=True
    )
    subprocess.run(["git", "-C", main, "worktree", "add", "-q", tree], check=True)
    (tree / "b.c").write_text("")
    assert git.toplevel(tree) == tree
    assert project_files(tree) == ("b.c",)


def test_a_repository_that_git_refuses_is_an_error_and_not_an_empty_project(
    tmp_path: Path,
) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "a.c").write_text("")
    with pytest.raises(GitFailed, match="not a git repository"):
        project_files(tmp_path)
