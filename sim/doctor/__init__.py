"""Whether the simulator is the same everywhere.

matrix    the same seeds in processes with other hash seeds and other Pythons
"""
