"""Exploring: many seeds at once, every failure saved and shrunk.

explore(config, on_progress) -> Explored
"""
