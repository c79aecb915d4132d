"""The `ninja` planner: a build.ninja as a plan. Works unchanged for what CMake and Meson write.

    lexer     characters to tokens, with file and line in every error
    evaluate  variables and scopes: `$in`, rules, edges
    parser    build.ninja and its includes to a Manifest
    graph     which edges a target needs, phony ones replaced by what they stand for
    layout    where sources and build folder are, and what is mounted
    words     what a command line says about an edge: compiler, archiver, files it names
    steps     edges to steps
    fresh     whether build.ninja itself is up to date
    ctest     tests of CTestTestfile.cmake as steps
    hashes    the hash functions of ninja's logs
    logs      writing .ninja_log and .ninja_deps, so that a local ninja finds nothing to do
    planner   putting it together

The language is described in ninja's manual; where that is silent, we do what ninja 1.11 to 1.13 do.
"""

from mesh.planners.ninja.planner import NinjaPlanner

__all__ = ["NinjaPlanner"]
