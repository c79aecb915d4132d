"""The characters of a build.ninja: identifiers, paths and values with `$` escapes.

A string with variables is an `EvalString`: a tuple of text and `Var`. What ninja refuses is refused
(tabs for indentation, `$` before anything unknown), always as a ProjectFileError with its line.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NoReturn

import attrs

from mesh.errors import ProjectFileError

_IDENT = re.compile(r"[a-zA-Z0-9_.-]+")
_SPACE = re.compile(r"(?: |\$\r?\n)+")
_BLANK_LINES = re.compile(r"(?:[ ]*(?:#[^\n]*)?\r?\n)+")
_NEWLINE = re.compile(r"\r?\n")
_PLAIN_PATH = re.compile(r"[^$ :|\n\r]+")
_PLAIN_VALUE = re.compile(r"[^$\n\r]+|\r(?!\n)")
_ESCAPE = re.compile(
    r"\$(?:(?P<var>[a-zA-Z0-9_-]+)|\{(?P<braced>[a-zA-Z0-9_.-]+)\}"
    r"|(?P<char>[$ :])|(?P<continued>\r?\n[ ]*))"
)


@attrs.frozen
class Var:
    """A reference to a variable."""

    name: str


EvalString = tuple[str | Var, ...]


class Lexer:
    """A cursor over one file's text."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self._text = text if text.endswith("\n") else text + "\n"
        self._at = 0
        self._counted_to, self._counted = 0, 1

    @property
    def line(self) -> int:
        """The current line, from 1; counted on from the last time it was asked for."""
        self._counted += self._text.count("\n", self._counted_to, self._at)
        self._counted_to = self._at
        return self._counted

    def fail(self, problem: str, expected: str) -> NoReturn:
        raise ProjectFileError(file=self.path, line=self.line, problem=problem, expected=expected)

    def at_end(self) -> bool:
        """Skip blank lines and comments; whether nothing is left."""
        match = _BLANK_LINES.match(self._text, self._at)
        if match is not None:
            self._at = match.end()
        return self._at >= len(self._text)

    def indented(self) -> bool:
        """Skip blank lines and comments; whether an indented line follows, which is entered."""
        if self.at_end():
            return False
        if self._text[self._at] == "\t":
            self.fail("a tab", "spaces for indentation")
        match = _SPACE.match(self._text, self._at)
        if match is None or self._text[self._at] != " ":
            return False
        self._at = match.end()
        return True

    def ident(self, what: str) -> str:
        match = _IDENT.match(self._text, self._at)
        if match is None:
            self.fail(f"found {self._here()}", what)
        self._at = match.end()
        self.skip_space()
        return match[0]

    def skip_space(self) -> None:
        match = _SPACE.match(self._text, self._at)
        if match is not None:
            self._at = match.end()

    def peek(self, mark: str) -> bool:
        return self._text.startswith(mark, self._at)

    def accept(self, mark: str) -> bool:
        """Skip `mark` and the space after it, if it comes next."""
        if not self._text.startswith(mark, self._at):
            return False
        self._at += len(mark)
        self.skip_space()
        return True

    def expect(self, mark: str) -> None:
        if not self.accept(mark):
            self.fail(f"found {self._here()}", f"`{mark}`")

    def end_of_line(self) -> None:
        match = _NEWLINE.match(self._text, self._at)
        if match is None:
            self.fail(f"found {self._here()}", "the end of the line")
        self._at = match.end()

    def paths(self) -> list[EvalString]:
        """Zero or more paths, up to a `:`, a `|` or the end of the line."""
        found = []
        while path := self.string(_PLAIN_PATH):
            found.append(path)
            self.skip_space()
        return found

    def value(self) -> EvalString:
        """The rest of the line, and the line break."""
        value = self.string(_PLAIN_VALUE)
        self.end_of_line()
        return value

    def string(self, plain: re.Pattern[str]) -> EvalString:
        """Text that `plain` matches, mixed with `$` escapes."""
        parts: list[str | Var] = []
        while True:
            match = plain.match(self._text, self._at)
            if match is not None:
                _append(parts, match[0])
                self._at = match.end()
            if not self._text.startswith("$", self._at):
                return tuple(parts)
            self._escape(parts)

    def _escape(self, parts: list[str | Var]) -> None:
        match = _ESCAPE.match(self._text, self._at)
        if match is None:
            self.fail("a `$` that escapes nothing", "`$$` for a dollar sign")
        name = match["var"] or match["braced"]
        if name is not None:
            parts.append(Var(name))
        elif match["char"] is not None:
            _append(parts, match["char"])
        self._at = match.end()

    def _here(self) -> str:
        if self._at >= len(self._text):
            return "the end of the file"
        char = self._text[self._at]
        return "the end of the line" if char in "\r\n" else f"`{char}`"


def _append(parts: list[str | Var], text: str) -> None:
    """Add text, joined to text before it, so that a string without variables is one part."""
    if parts and isinstance(parts[-1], str):
        parts[-1] += text
    else:
        parts.append(text)
