"""Leaves without hardware: the firmware's core on a board made of memory, as many as one likes."""
