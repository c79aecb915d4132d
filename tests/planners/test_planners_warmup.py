"""What is asked before the first build is not asked again by it."""

import os

from planning import plan, step_named, write

from mesh.cas.filehash import FileHasher
from mesh.planners.closure import ProjectView
from mesh.planners.environment import find_program
from mesh.planners.resolve import Resolver, ResolverConfig
from mesh.planners.systemheaders import IncludeMemory
from mesh.planners.toolchain import Toolchains
from mesh.planners.warmup import get_ready

NINJA = """
rule cc
  command = {cc} -c $in -o $out -MD -MF $out.d
  deps = gcc
  depfile = $out.d
build a.o: cc a.c
"""


def test_a_first_build_finds_the_compiler_asked_and_hashed(tmp_path):
    cc = find_program("cc", os.environ["PATH"])
    root = write(tmp_path, {"build.ninja": NINJA.format(cc=cc), "a.c": "int a;\n"})
    hasher, includes = FileHasher(), IncludeMemory()
    toolchains = Toolchains(hasher)
    get_ready(toolchains, includes, os.environ)
    hashed, asked = hasher.hashed_files, includes.paths.probes
    assert (hashed > 0, asked) == (True, 1)

    found = plan(root)
    resolver = Resolver(ResolverConfig(found, hasher, None, toolchains, includes))
    step = step_named(found, "a.o")
    assert resolver.includes.scan(step, resolver.tools(step), ProjectView()) is not None

    assert includes.paths.probes == asked
    assert hasher.hashed_files - hashed <= 2  # the source, and what gcc includes before all


def test_a_machine_without_a_compiler_is_no_error(tmp_path):
    hasher, includes = FileHasher(), IncludeMemory()
    get_ready(Toolchains(hasher), includes, {"PATH": str(tmp_path)})
    assert (hasher.hashed_files, includes.paths.probes) == (0, 0)


def test_a_compiler_that_does_not_work_is_no_error(tmp_path):
    broken = tmp_path / "cc"
    broken.write_text("#!/nowhere\n")
    broken.chmod(0o755)
    get_ready(Toolchains(FileHasher()), IncludeMemory(), {"PATH": str(tmp_path)})
