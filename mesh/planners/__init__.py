"""From a project on disk to a plan: a graph of steps; `mesh.planners.base` has the interface."""
