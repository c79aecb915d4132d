"""When the very processor is an input."""

from __future__ import annotations

import pytest

from mesh.action.platform import native_platform, platform_for, this_platform


@pytest.mark.parametrize(
    "words",
    [
        ("cc", "-O2", "-march=native", "-c", "a.c"),
        ("/bin/sh", "-c", "cc -mcpu=native -c a.c"),
        ("cc", "-mtune=native"),
        ("rustc", "-C", "target-cpu=native"),
        ("rustc", "-Ctarget-cpu=native"),
        ("icx", "-xHost"),
    ],
)
def test_commands_that_compile_for_the_processor_they_run_on_say_which(words) -> None:
    assert platform_for(words) == native_platform() != this_platform()


@pytest.mark.parametrize(
    "words", [("cc", "-O2", "-c", "native.c"), ("cc", "-march=x86-64-v3"), ("cc", "-DHOST=native")]
)
def test_others_run_on_any_machine_of_the_kind(words) -> None:
    assert platform_for(words) == this_platform()


def test_the_names_fit_their_field() -> None:
    assert len(native_platform()) <= 64
    assert native_platform().startswith(this_platform() + "+")
