"""Where in a rule file something is wrong, and how to show it.

thermostat.py:4:12: only numbers can be compared, not a pin
    gpio(5) > 3
    ^^^^^^^
hint: ...
"""

from __future__ import annotations

import ast

import attrs


@attrs.frozen
class Place:
    """Where: lines from 1, columns from 0 (as `ast` counts, but in characters)."""

    line: int
    column: int
    end_column: int


class SourceError(Exception):
    """What is wrong with a rule file, for the person who wrote it."""

    def __init__(self, text: str, place: Place, hint: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.place = place
        self.hint = hint

    def excerpt(self, source: str) -> str:
        """The line and, below it, carets; two lines."""
        lines = source.splitlines()
        line = lines[self.place.line - 1] if self.place.line <= len(lines) else ""
        width = max(1, self.place.end_column - self.place.column)
        lead = "".join(each if each == "\t" else " " for each in line[: self.place.column])
        return f"{line}\n{lead}{'^' * width}"


def place_of(node: ast.AST, source: str) -> Place:
    """The place of a syntax node; `ast` counts bytes of UTF-8."""
    line = getattr(node, "lineno", 1)
    text = source.splitlines()[line - 1] if source else ""
    start = _characters(text, getattr(node, "col_offset", 0))
    same_line = getattr(node, "end_lineno", line) == line
    end = _characters(text, getattr(node, "end_col_offset", 0)) if same_line else len(text)
    return Place(line, start, max(start + 1, end))


def _characters(text: str, offset_bytes: int) -> int:
    return len(text.encode()[:offset_bytes].decode(errors="ignore"))
