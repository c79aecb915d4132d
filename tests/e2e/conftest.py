"""Fixtures of the end-to-end tests: the real project, once per session, and copies of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import real_project
from cluster import Cluster, started
from lab import Lab, opened_lab


@pytest.fixture(scope="session")
def real_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """zlib-ng's sources, unpacked; not to be written to. Skips where they cannot be had."""
    try:
        return real_project.fetch(tmp_path_factory.mktemp("real"))
    except real_project.Unavailable as error:
        pytest.skip(f"no real project: {error}")


@pytest.fixture
def real_build(real_source: Path, tmp_path: Path) -> Path:
    """An own copy of the sources and a configured Ninja build directory, `build`, inside it."""
    source = tmp_path / "zlib-ng"
    shutil.copytree(real_source, source)
    try:
        return real_project.configure(source, source / "build", build_type="Debug")
    except real_project.Unavailable as error:
        pytest.skip(f"the real project cannot be configured: {error}")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Four nodes with one slot each, shared by the tests of a module that leave it whole."""
    directory = tmp_path_factory.mktemp("cluster")
    with started(directory / "nodes", 4, "--slots", "1") as cluster:
        yield cluster


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[Cluster]:
    """Three nodes of one slot each, for a test that damages them."""
    with started(tmp_path / "nodes", 3, "--slots", "1") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Four machines with a network between them, shared by the tests of a module."""
    with opened_lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab
