"""Shrinking: the shortest scenario that still shows the same bug.

ddmin     fewest faults (delta debugging)
simplify  then fewer nodes, shorter, milder, rounder
shrink    both, within a budget
"""
