"""The `vitte` command line: a thin client of the local node."""
