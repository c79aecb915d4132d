"""JSON that remembers on which line everything stood, so that mistakes can be pointed at.

Grammar of RFC 8259, through the standard library's own scanners of strings and numbers; in
addition a name may not appear twice in an object. Deliberately not here: what the values mean.
"""

from __future__ import annotations

import json
import re
from json.decoder import scanstring  # type: ignore[attr-defined]  # undocumented, but for decades
from typing import Any

DEPTH_MAX = 32
Path = tuple[str | int, ...]

_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"(-?(?:0|[1-9][0-9]*))(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORDS = {"true": True, "false": False, "null": None}


class BadJson(ValueError):
    """The text is not JSON; `line` counts from 1."""

    def __init__(self, line: int, why: str) -> None:
        self.line = line
        self.why = why
        super().__init__(f"line {line}: {why}")


class Document:
    """A parsed text: `value`, and `line_of(path)` of each part."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._lines: dict[Path, int] = {}
        self.value, end = self._value(self._skip(0), ())
        if self._skip(end) != len(text):
            raise BadJson(self._line(self._skip(end)), "something follows the end")

    def line_of(self, path: Path) -> int:
        """The line of that part, or of the innermost one around it that exists."""
        while path and path not in self._lines:
            path = path[:-1]
        return self._lines.get(path, 1)

    def _line(self, position: int) -> int:
        return self._text.count("\n", 0, position) + 1

    def _skip(self, position: int) -> int:
        found = _SPACE.match(self._text, position)
        assert found is not None, "the pattern matches the empty string"
        return found.end()

    def _value(self, at: int, path: Path) -> tuple[Any, int]:
        if len(path) > DEPTH_MAX:
            raise BadJson(self._line(at), "too deep")
        self._lines[path] = self._line(at)
        first = self._text[at : at + 1]
        if first == "{":
            return self._object(at + 1, path)
        if first == "[":
            return self._array(at + 1, path)
        if first == '"':
            return self._string(at)
        for word, value in _WORDS.items():
            if self._text.startswith(word, at):
                return value, at + len(word)
        return self._number(at)

    def _number(self, at: int) -> tuple[int | float, int]:
        found = _NUMBER.match(self._text, at)
        if found is None:
            what = "the end" if at >= len(self._text) else repr(self._text[at])
            raise BadJson(self._line(at), f"expected a value, found {what}")
        whole, fraction, exponent = found.groups()
        if len(found[0]) > 40:
            raise BadJson(self._line(at), "the number is too long")
        return (float(found[0]) if fraction or exponent else int(whole)), found.end()

    def _string(self, at: int) -> tuple[str, int]:
        try:
            text, end = scanstring(self._text, at + 1, True)
        except json.JSONDecodeError as error:
            raise BadJson(error.lineno, error.msg.lower()) from None
        return text, end

    def _object(self, at: int, path: Path) -> tuple[dict[str, Any], int]:
        made: dict[str, Any] = {}
        at = self._skip(at)
        while not self._text.startswith("}", at):
            if made:
                at = self._skip(self._expect(",", at))
            if not self._text.startswith('"', at):
                raise BadJson(self._line(at), "expected a name in double quotes")
            name, end = self._string(at)
            if name in made:
                raise BadJson(self._line(at), f'"{name}" is there twice')
            at = self._skip(self._expect(":", self._skip(end)))
            made[name], at = self._value(at, (*path, name))
            at = self._skip(at)
        return made, at + 1

    def _array(self, at: int, path: Path) -> tuple[list[Any], int]:
        made: list[Any] = []
        at = self._skip(at)
        while not self._text.startswith("]", at):
            if made:
                at = self._skip(self._expect(",", at))
            value, at = self._value(at, (*path, len(made)))
            made.append(value)
            at = self._skip(at)
        return made, at + 1

    def _expect(self, mark: str, at: int) -> int:
        if not self._text.startswith(mark, at):
            what = "the end" if at >= len(self._text) else repr(self._text[at])
            raise BadJson(self._line(at), f"expected {mark!r}, found {what}")
        return at + len(mark)
