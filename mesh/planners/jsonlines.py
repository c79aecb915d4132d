"""JSON with line numbers, for errors that point at the place.

    document = parse(path, text)
    document.line(("dependencies", "lib"))   -> the line of that value

`json` reads the values; where they stand is found by a second walk over the same text, which can
trust that it is well formed. Any text gives a Document or a ProjectFileError.
"""

from __future__ import annotations

import json
import re
from json.decoder import JSONDecodeError, JSONDecoder
from pathlib import Path
from typing import Any, NoReturn

import attrs

from mesh.errors import ProjectFileError
from mesh.limits import MIB, PROJECT_FILE_BYTES_MAX

Key = tuple[str | int, ...]

_SKIP = re.compile(r"[ \t\n\r]*")
_SCALAR = re.compile(r"[^\s,\]}]+")
_DEPTH_MAX = 100
_DECODER = JSONDecoder()


@attrs.frozen
class Document:
    path: Path
    value: Any
    lines: dict[Key, int]

    def line(self, key: Key) -> int:
        """The line, from 1, of the value under `key`, or of the nearest value around it."""
        while key not in self.lines and key:
            key = key[:-1]
        return self.lines.get(key, 1)

    def fail(self, key: Key, problem: str, expected: str) -> NoReturn:
        raise ProjectFileError(
            file=self.path, line=self.line(key), problem=problem, expected=expected
        )

    def text(self, key: Key, default: str | None = None) -> str:
        """The string under `key`. Raises ProjectFileError when it is missing or no string."""
        value = self.get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or not value or "\0" in value:
            self.fail(key, f"`{_shown(key)}` is no string", "a string")
        return value

    def texts(self, key: Key) -> list[str]:
        """The list of strings under `key`; empty when missing."""
        value = self.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            self.fail(key, f"`{_shown(key)}` is no list", "a list of strings")
        return [self.text((*key, index)) for index in range(len(value))]

    def table(self, key: Key) -> dict[str, Any]:
        """The object under `key`; empty when missing."""
        value = self.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.fail(key, f"`{_shown(key)}` is no object", "an object")
        return value

    def get(self, key: Key) -> Any:
        """The value under `key`, or None."""
        value = self.value
        for part in key:
            if isinstance(part, str):
                value = value.get(part) if isinstance(value, dict) else None
            else:
                value = value[part] if isinstance(value, list) and part < len(value) else None
        return value


def read(path: Path) -> Document:
    """Read a file. Raises ProjectFileError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ProjectFileError(
            file=path, line=1, problem=error.strerror or str(error), expected="a readable file"
        ) from None
    if len(data) > PROJECT_FILE_BYTES_MAX:
        limit = f"at most {PROJECT_FILE_BYTES_MAX // MIB} MiB"
        raise ProjectFileError(file=path, line=1, problem="it is too large", expected=limit)
    try:
        return parse(path, data.decode("utf-8"))
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ProjectFileError(
            file=path, line=line, problem="these bytes are no text", expected="UTF-8"
        ) from None


def parse(path: Path, text: str) -> Document:
    """Parse an object. Raises ProjectFileError."""
    try:
        value = json.loads(text)
    except JSONDecodeError as error:
        raise ProjectFileError(
            file=path, line=error.lineno, problem=error.msg, expected="JSON"
        ) from None
    except (RecursionError, ValueError) as error:
        raise ProjectFileError(file=path, line=1, problem=str(error), expected="JSON") from None
    lines: dict[Key, int] = {}
    _Walk(text, lines).value((), _SKIP.match(text, 0), 0)
    document = Document(path, value, lines)
    if not isinstance(value, dict):
        document.fail((), "it is no object", "{ ... }")
    return document


class _Walk:
    """Finds where values begin; the text is known to be JSON."""

    def __init__(self, text: str, lines: dict[Key, int]) -> None:
        self._text = text
        self._lines = lines
        self._line, self._counted_to = 1, 0

    def value(self, key: Key, start: re.Match[str] | None, depth: int) -> int:
        """Note the value at the end of `start`; returns where it ends."""
        at = start.end() if start is not None else 0
        self._line += self._text.count("\n", self._counted_to, at)
        self._counted_to = at
        self._lines[key] = self._line
        char = self._text[at]
        if char == '"':
            return _DECODER.raw_decode(self._text, at)[1]
        if char in "{[" and depth < _DEPTH_MAX:
            return self._container(key, at + 1, "}" if char == "{" else "]", depth)
        match = _SCALAR.match(self._text, at)
        return match.end() if match is not None else len(self._text)

    def _container(self, key: Key, at: int, end: str, depth: int) -> int:
        index = 0
        while at < len(self._text):
            at = self._skip(at)
            if self._text[at : at + 1] in {end, ""}:
                return at + 1
            if self._text[at] == ",":
                at += 1
                continue
            part: str | int = index
            if end == "}":
                part, at = _DECODER.raw_decode(self._text, at)
                at = self._skip(at) + 1  # the colon
            at = self.value((*key, part), _SKIP.match(self._text, at), depth + 1)
            index += 1
        return at

    def _skip(self, at: int) -> int:
        match = _SKIP.match(self._text, at)
        assert match is not None, "it matches nothing, too"
        return match.end()


def _shown(key: Key) -> str:
    return ".".join(map(str, key))
