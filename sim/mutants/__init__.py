"""Planted bugs: does the simulator find what it is there to find?

plant       edits of the product's source, in the memory of one process
catalogue   the bugs, by area
hunt        plays seeds until a planted bug is found
"""
