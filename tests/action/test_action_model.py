"""Paths of actions, trees and results: nothing leaves the mounts or comes undeclared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.action.model import (
    DIRECTORY,
    FILE,
    PROJECT_MOUNT,
    SYMLINK,
    Action,
    OutputSpec,
    TreeEntry,
    action_digest,
    check_action,
    check_entries,
    check_outputs,
    check_path,
)
from mesh.types import digest_of
from mesh.wire import schema
from mesh.wire.errors import WireError

MOUNTS = (PROJECT_MOUNT, "/home/u/build")
NOTHING = digest_of(b"")


def file(path: str) -> TreeEntry:
    return TreeEntry(path, FILE, NOTHING, 0)


def action(**changes: object) -> Action:
    fields: dict[str, object] = {
        "argv": ("cc", "-c", "a.c"),
        "env": (),
        "cwd": PROJECT_MOUNT,
        "mounts": MOUNTS,
        "inputs": NOTHING,
        "outputs": (OutputSpec(f"{PROJECT_MOUNT}/a.o"),),
        "toolchain": NOTHING,
    }
    return Action(**{**fields, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "path",
    [
        "a.c",
        "/etc/passwd",
        f"{PROJECT_MOUNT}/../x",
        f"{PROJECT_MOUNT}/./x",
        f"{PROJECT_MOUNT}//x",
        f"{PROJECT_MOUNT}x/y",
        f"{PROJECT_MOUNT}/x\0y",
        "",
        "/",
    ],
)
def test_paths_outside_the_mounts_are_refused(path: str) -> None:
    with pytest.raises(WireError):
        check_path(path, MOUNTS)


def test_a_path_in_any_mount_is_accepted() -> None:
    check_path(f"{PROJECT_MOUNT}/src/a b.c", MOUNTS)
    check_path("/home/u/build", MOUNTS)


@pytest.mark.parametrize(
    ("link", "fine"),
    [
        ("a.c", True),
        ("../other", True),
        ("../../../etc/passwd", False),
        ("/etc/passwd", False),
        (f"{PROJECT_MOUNT}/a.c", False),
        ("x\0y", False),
    ],
)
def test_links_may_only_lead_to_the_inside(link: str, fine: bool) -> None:
    entries = (TreeEntry(f"{PROJECT_MOUNT}/src/l", SYMLINK, link=link),)
    if fine:
        check_entries(entries, MOUNTS)
    else:
        with pytest.raises(WireError):
            check_entries(entries, MOUNTS)


def test_nothing_lies_below_a_file_or_a_link_and_nothing_comes_twice() -> None:
    a, below = file(f"{PROJECT_MOUNT}/a"), file(f"{PROJECT_MOUNT}/a/b")
    link = TreeEntry(f"{PROJECT_MOUNT}/a", SYMLINK, link="c")
    folder = TreeEntry(f"{PROJECT_MOUNT}/a", DIRECTORY)
    for bad in ((a, below), (link, below), (below, a), (a, a)):
        with pytest.raises(WireError):
            check_entries(bad, MOUNTS)
    check_entries((folder, below), MOUNTS)


def test_a_result_may_hold_what_was_declared_and_nothing_else() -> None:
    made = file(f"{PROJECT_MOUNT}/a.o")
    check_outputs((made,), action())
    with pytest.raises(WireError, match="undeclared-output"):
        check_outputs((made, file(f"{PROJECT_MOUNT}/src/a.c")), action())
    with pytest.raises(WireError, match="output-missing"):
        check_outputs((), action())
    folder = action(outputs=(OutputSpec(f"{PROJECT_MOUNT}/out", directory=True),))
    check_outputs((file(f"{PROJECT_MOUNT}/out/x/y"),), folder)
    with pytest.raises(WireError, match="undeclared-output"):
        check_outputs((file(f"{PROJECT_MOUNT}/outer"),), folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"argv": ()},
        {"argv": ("",)},
        {"mounts": ()},
        {"mounts": ("/",)},
        {"mounts": ("relative",)},
        {"mounts": ("/a/../b",)},
        {"cwd": "/etc"},
        {"outputs": (OutputSpec("/etc/passwd"),)},
    ],
)
def test_actions_that_are_not_what_they_should_be_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(WireError):
        check_action(action(**changes))


@given(st.lists(st.text(max_size=20), min_size=1, max_size=5))
def test_the_digest_is_of_content_and_survives_the_wire(argv: list[str]) -> None:
    first = action(argv=tuple(argv))
    again = schema.decode_struct(Action, schema.encode_struct(first))
    assert again == first
    assert action_digest(again) == action_digest(first)
    assert action_digest(first) != action_digest(action(argv=(*argv, "-O2")))
