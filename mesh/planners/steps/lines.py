"""Where in a TOML text the tables and keys stand: tomllib does not say.

A light scan, not a parser: it follows strings and brackets only so far as to know which lines begin
a header or a key. It is used to point at a line after tomllib has read the text, so being wrong
costs a worse line number and nothing else.
"""

from __future__ import annotations

import re

import attrs

_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"""\s*("[^"]*"|'[^']*'|[A-Za-z0-9_-]+)\s*(?:\.|=)""")
_PIECE = re.compile(
    r"""("{3}(?:\\.|[^\\])*?"{3}|'{3}.*?'{3}|"(?:\\.|[^"\\\n])*"|'[^'\n]*'|\#[^\n]*|[\[\]{}]|\n)""",
    re.DOTALL,
)


@attrs.frozen
class Lines:
    """Line numbers, from 1, of tables and of keys in them."""

    tables: dict[tuple[str, int], int]
    """(name, index among the tables of that name) -> line of its header."""
    keys: dict[tuple[str, int, str], int]
    """(table, index, key) -> line; keys before any table are in table ""."""

    def of(self, table: str, index: int = 0, key: str = "") -> int:
        """The line of a key, or of its table when the key is not found."""
        table_line = self.tables.get((table, index), 1)
        return self.keys.get((table, index, key), table_line) if key else table_line


def find_lines(text: str) -> Lines:
    """Scan a TOML text."""
    tables: dict[tuple[str, int], int] = {}
    keys: dict[tuple[str, int, str], int] = {}
    counts: dict[str, int] = {}
    table, index = "", 0
    for number, line in _top_lines(text):
        header = _HEADER.match(line)
        if header is not None:
            table = header[2].strip("\"'")
            index = counts.get(table, 0)
            counts[table] = index + 1
            tables[(table, index)] = number
            continue
        key = _KEY.match(line)
        if key is not None:
            keys.setdefault((table, index, key[1].strip("\"'")), number)
    return Lines(tables, keys)


def _top_lines(text: str) -> list[tuple[int, str]]:
    """The lines that begin outside any string and bracket, with their numbers."""
    lines = text.split("\n")
    found = [(1, lines[0])]
    number, depth = 1, 0
    for match in _PIECE.finditer(text):
        piece = match[0]
        if piece in "[{":
            depth += 1
        elif piece in "]}":
            depth = max(0, depth - 1)
        elif piece == "\n":
            number += 1
            if depth == 0:
                found.append((number, lines[number - 1]))
        else:
            number += piece.count("\n")
    return found
