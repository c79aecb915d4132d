"""The `steps` planner: a `vitte-dist.toml` that says what to run.

file      reading vitte-dist.toml into checked values, with errors that name the line
lines     where in a TOML text a key stands (tomllib does not say)
template  {in}, {out}, {stem} ... in commands and paths
expand    from [[step]] tables and the files that exist to steps of a plan
planner   finding the file, choosing what was asked for
"""

from mesh.planners.steps.planner import StepsPlanner

__all__ = ["StepsPlanner"]
