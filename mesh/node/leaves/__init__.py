"""Leaves at this node's lines: drivers around `mesh.leaf`, their events on disk, their programs."""
