"""From a project on disk to a plan: a graph of steps. See `mesh.planners.base` for the interface."""
