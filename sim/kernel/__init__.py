"""Virtual time: the heap of the world, and trio running on it. See `run.run_world`."""
