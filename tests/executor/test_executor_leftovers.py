"""Scratch directories are empty after `clean`, whether or not their size tells that they are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.executor.leftovers import Leftovers, Scratch

TMPFS = Path("/dev/shm")


@pytest.fixture(params=["disk", "tmpfs"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    if request.param == "disk":
        yield tmp_path
        return
    if not os.access(TMPFS, os.W_OK) or not os.path.ismount(TMPFS):
        pytest.skip("no tmpfs here")
    made = TMPFS / f"vitte-test-{os.getpid()}"
    made.mkdir()
    yield made
    made.rmdir()


def test_everything_goes_whatever_it_is(folder: Path) -> None:
    scratch = Scratch(str(folder), [])
    for _ in range(2):
        (folder / "file").write_text("x")
        (folder / "empty").touch()
        (folder / "deep" / "er").mkdir(parents=True)
        (folder / "deep" / "er" / "file").touch()
        (folder / "link").symlink_to("/nowhere")
        scratch.clean()
        assert list(folder.iterdir()) == []


def test_what_was_there_before_goes_too(folder: Path) -> None:
    (folder / "old").touch()
    Scratch(str(folder), []).clean()
    assert list(folder.iterdir()) == []


def test_one_entry_instead_of_another_is_seen(folder: Path) -> None:
    scratch = Scratch(str(folder), [])
    (folder / "a").touch()
    (folder / "a").rename(folder / "b")
    scratch.clean()
    assert list(folder.iterdir()) == []


def test_mounts_and_the_way_to_them_stay(folder: Path) -> None:
    mount = folder / "home" / "project"
    mount.mkdir(parents=True)
    (mount / "kept").touch()
    (folder / "home" / "other").touch()
    Leftovers([str(folder)], [str(mount)], sysv=False).clean()
    assert (mount / "kept").exists()
    assert list(mount.parent.iterdir()) == [mount]
    (mount / "kept").unlink()
    mount.rmdir()
    mount.parent.rmdir()


def test_what_cannot_be_removed_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(path: str) -> None:
        raise OSError(16, "busy", path)

    leftovers = Leftovers([str(folder)], [], sysv=False)
    (folder / "f").touch()
    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", busy)
        assert not leftovers.clean()
    assert leftovers.clean()
    assert list(folder.iterdir()) == []
