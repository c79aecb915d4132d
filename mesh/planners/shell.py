"""Reading POSIX shell command lines: enough to know which programs they run.

    split(line)     -> words and operators, quotes removed
    simple(line)    -> the argv when the shell would add nothing to it, else None
    commands(line)  -> the simple commands of a line, through `sh -c`, `env`, `ccache`, `cmake -E`

Rules
- `simple` never guesses: an expansion, a glob, an operator or an assignment makes it None.
- `commands` is for finding tools. It may name words that are no programs (functions, words of a
  here-document); whoever asks looks them up on PATH and drops what is not there.

Deliberately not here: expansion and execution.
"""

from __future__ import annotations

import re
from functools import lru_cache
from posixpath import basename

import attrs

from mesh.limits import SHELL_DEPTH_MAX

_OPERATOR = re.compile(r"&&|\|\||;;|>>|<<-?|>&|<&|>\||<>|[;&|()<>\n]")
_PLAIN = re.compile(r"[A-Za-z0-9_./=:,+@%-]+")
"""Characters that mean themselves anywhere; most of any command line."""
_PLAIN_LINE = re.compile(r"[A-Za-z0-9_./=:,+@% -]+")
_BLANK = " \t\r"
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_REDIRECTIONS = frozenset({"<", ">", ">>", "<<", "<<-", ">&", "<&", ">|", "<>"})
_KEYWORDS = frozenset(
    [
        "if",
        "then",
        "else",
        "elif",
        "fi",
        "while",
        "until",
        "do",
        "done",
        "{",
        "}",
        "!",
        "time",
        "exec",
        "command",
    ]
)
_LAUNCHERS = frozenset(
    ["ccache", "sccache", "distcc", "icecc", "nice", "nohup", "stdbuf", "xvfb-run"]
)
_SHELLS = frozenset(["sh", "bash", "dash", "zsh", "ksh"])
_CMAKE_RUNNERS = frozenset({"env", "chdir", "time", "__run_co_compile"})


class ShellSyntaxError(ValueError):
    """Quotes that do not close."""


@attrs.frozen
class Word:
    text: str
    dynamic: bool = False
    """The shell would expand something in it."""


@attrs.frozen
class Operator:
    text: str


Token = Word | Operator


_REMEMBERED_MAX = 4096
"""Lines; about one run of a large project."""


def split(line: str) -> list[Token]:
    """Tokens of a command line. Raises ShellSyntaxError when a quote stays open."""
    if _PLAIN_LINE.fullmatch(line):
        return [Word(word) for word in line.split()]
    return _Splitter(line).run()


class _Splitter:
    def __init__(self, line: str) -> None:
        self._line = line
        self._at = 0
        self._tokens: list[Token] = []
        self._word: list[str] | None = None
        self._dynamic = False

    def run(self) -> list[Token]:
        while self._at < len(self._line):
            self._step()
        self._finish_word()
        return self._tokens

    def _step(self) -> None:
        plain = _PLAIN.match(self._line, self._at)
        if plain is not None:
            self._add(plain[0])
            self._at = plain.end()
            return
        char = self._line[self._at]
        operator = _OPERATOR.match(self._line, self._at)
        if char in _BLANK:
            self._finish_word()
            self._at += 1
        elif operator is not None:
            self._finish_word()
            self._tokens.append(Operator(operator[0]))
            self._at = operator.end()
        elif char == "#" and self._word is None:
            end = self._line.find("\n", self._at)
            self._at = len(self._line) if end < 0 else end
        else:
            self._read_char(char)

    def _read_char(self, char: str) -> None:
        if char == "'":
            self._single_quoted()
        elif char == '"':
            self._double_quoted()
        elif char == "\\":
            following = self._line[self._at + 1 : self._at + 2]
            if following != "\n":
                self._add(following)
            self._at += 2
        else:
            if char in "$`*?[" or (char == "~" and self._word is None):
                self._dynamic = True
            self._add(char)
            self._at += 1

    def _single_quoted(self) -> None:
        end = self._line.find("'", self._at + 1)
        if end < 0:
            raise ShellSyntaxError("a ' is not closed")
        self._add(self._line[self._at + 1 : end])
        self._at = end + 1

    def _double_quoted(self) -> None:
        self._add("")
        self._at += 1
        while self._at < len(self._line):
            char = self._line[self._at]
            if char == '"':
                self._at += 1
                return
            following = self._line[self._at + 1 : self._at + 2]
            if char == "\\" and following in {"$", "`", '"', "\\", "\n"}:
                self._add("" if following == "\n" else following)
                self._at += 2
                continue
            if char in "$`":
                self._dynamic = True
            self._add(char)
            self._at += 1
        raise ShellSyntaxError('a " is not closed')

    def _add(self, text: str) -> None:
        if self._word is None:
            self._word = []
        self._word.append(text)

    def _finish_word(self) -> None:
        if self._word is not None:
            self._tokens.append(Word("".join(self._word), self._dynamic))
        self._word, self._dynamic = None, False


def simple(line: str) -> tuple[str, ...] | None:
    """The argv of a line that is one plain command, or None."""
    try:
        tokens = split(line)
    except ShellSyntaxError:
        return None
    words = [token for token in tokens if isinstance(token, Word)]
    if len(words) != len(tokens) or not words or any(word.dynamic for word in words):
        return None
    if _ASSIGNMENT.match(words[0].text) or words[0].text in _KEYWORDS:
        return None
    return tuple(word.text for word in words)


def commands(line: str) -> tuple[tuple[str, ...], ...]:
    """The simple commands of a line, launchers' own commands included; () when unreadable.

    Remembered (below), because the planner and the toolchain ask the same of each command."""
    return _commands(line, 0)


def commands_of(argv: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The simple commands that running `argv` comes down to, itself first."""
    return _unwrap(argv, 0)


@lru_cache(maxsize=_REMEMBERED_MAX)
def _commands(line: str, depth: int) -> tuple[tuple[str, ...], ...]:
    try:
        tokens = split(line)
    except ShellSyntaxError:
        return ()
    found: list[tuple[str, ...]] = []
    for words in _simple_commands(tokens):
        found += _unwrap(words, depth)
    return tuple(found)


def _simple_commands(tokens: list[Token]) -> list[tuple[str, ...]]:
    """Words between control operators, without redirections, assignments and keywords."""
    groups: list[list[str]] = [[]]
    skip = False
    for token in tokens:
        if isinstance(token, Operator):
            skip = token.text in _REDIRECTIONS
            if not skip:
                groups.append([])
        elif skip:
            skip = False
        elif groups[-1] or not (_ASSIGNMENT.match(token.text) or token.text in _KEYWORDS):
            groups[-1].append(token.text)
    return [tuple(group) for group in groups if group]


def _unwrap(words: tuple[str, ...], depth: int) -> list[tuple[str, ...]]:
    """The command itself and the one it launches, if it is a launcher."""
    inner = _inner(words) if depth < SHELL_DEPTH_MAX else None
    if inner is None:
        return [words]
    if isinstance(inner, str):
        return [words, *_commands(inner, depth + 1)]
    return [words, *(_unwrap(inner, depth + 1) if inner else [])]


def _inner(words: tuple[str, ...]) -> tuple[str, ...] | str | None:
    """What a launcher launches: an argv, a shell line, or None when it is none."""
    name = basename(words[0])
    if name in _SHELLS:
        for index, word in enumerate(words[1:], 1):
            if re.fullmatch(r"-[a-z]*c", word):
                return words[index + 1] if index + 1 < len(words) else None
        return None
    if name in _LAUNCHERS:
        return _after_options(words[1:])
    if name == "env":
        return _after_options(words[1:], assignments=True)
    if name == "cmake" and words[1:2] == ("-E",) and words[2:3] and words[2] in _CMAKE_RUNNERS:
        return _inside_cmake(words[2], words[3:])
    return None


def _inside_cmake(runner: str, words: tuple[str, ...]) -> tuple[str, ...]:
    if "--" in words:
        return words[words.index("--") + 1 :]
    if runner == "chdir":
        return words[1:]
    return _after_options(words, assignments=True)


def _after_options(words: tuple[str, ...], *, assignments: bool = False) -> tuple[str, ...]:
    for index, word in enumerate(words):
        if word.startswith("-") or (assignments and _ASSIGNMENT.match(word)):
            continue
        return words[index:]
    return ()
