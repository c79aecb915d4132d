"""vitte-mesh: one build, test and edge-program cluster out of the machines you have."""

__version__ = "0.1.0"
