"""Knowing a compiler's command line: what it compiles, and how to ask it for its headers.

`parse` reads the argv of a gcc- or clang-like driver (`cc`, `arm-none-eabi-g++-12`, `zig cc`), a
launcher such as ccache before it allowed. `dependency_probe` turns a compilation into the same
command with `-M`, so that the compiler itself, with its own defines and search paths, names every
header it would read.

Deliberately not here: other compilers (their edges are not scanned), running anything.
"""

from __future__ import annotations

import re
from functools import lru_cache
from posixpath import basename, splitext

import attrs

from mesh.planners import shell

_DRIVER = re.compile(r"(?:.*-)?(?:gcc|g\+\+|cc|c\+\+|clang|clang\+\+)(?:-\d[\d.]*)?")
_CXX_DRIVER = re.compile(r".*\+\+(?:-\d[\d.]*)?")
_PYTHON = re.compile(r"python[\d.]*")
_CXX_SUFFIXES = frozenset({".cc", ".cpp", ".cxx", ".c++", ".C", ".cp", ".CPP", ".mm", ".ii"})
_PCH_SUFFIXES = (".gch", ".pch")

_TAKES_WORD = frozenset(
    [
        "-o",
        "-I",
        "-isystem",
        "-iquote",
        "-idirafter",
        "-include",
        "-imacros",
        "-D",
        "-U",
        "-L",
        "-l",
        "-x",
        "-MF",
        "-MT",
        "-MQ",
        "-MJ",
        "-T",
        "-u",
        "-z",
        "-Xlinker",
        "-Xpreprocessor",
        "-Xassembler",
        "-Xclang",
        "-arch",
        "-target",
        "-isysroot",
        "--sysroot",
        "-B",
        "-aux-info",
        "-iprefix",
        "-iwithprefix",
        "-iwithprefixbefore",
        "-framework",
        "-mllvm",
        "--param",
        "-imultilib",
        "-e",
        "-rpath",
        "--serialize-diagnostics",
    ]
)
"""Options whose value is the next word when nothing is attached."""
_INCLUDE = re.compile(r"(-isystem|-iquote|-idirafter|-I)(.*)", re.DOTALL)
_DROPPED_ALONE = frozenset({"-c", "-S", "-MD", "-MMD", "-MP", "-MG", "-M", "-MM", "-save-temps"})
_DROPPED_WITH_WORD = frozenset({"-o", "-MF", "-MT", "-MQ", "-MJ"})
_DROPPED_JOINED = re.compile(r"-(?:o|MF|MT|MQ|MJ).+|-save-temps=.*", re.DOTALL)
_TARGET_OPTION = re.compile(r"-m(?:32|64|x32)|--target=.*|--sysroot=.*|-fuse-ld=.*|-B.+")
_STOPS_EARLY = frozenset({"-c", "-S", "-E", "-M", "-MM", "-fsyntax-only"})


@attrs.frozen
class CompilerCall:
    """One call of a compiler driver."""

    driver: tuple[str, ...]
    """`("cc",)`, or `("zig", "cc")`; launchers removed."""
    options: tuple[tuple[str, ...], ...]
    """Each option with its value, as (option, value) or (option,), in order; inputs are (word,)
    too."""
    sources: tuple[str, ...]
    """Files named on the line that are no options: sources, objects, libraries."""

    @property
    def compiles(self) -> bool:
        return any(option[0] == "-c" for option in self.options)

    @property
    def links(self) -> bool:
        return not any(option[0] in _STOPS_EARLY for option in self.options) and bool(self.sources)

    @property
    def is_cxx(self) -> bool:
        if _CXX_DRIVER.fullmatch(basename(self.driver[-1])):
            return True
        return any(splitext(source)[1] in _CXX_SUFFIXES for source in self.sources)

    @property
    def include_dirs(self) -> tuple[str, ...]:
        """The directories of -I, -iquote, -isystem and -idirafter, as written."""
        found: dict[str, None] = {}
        for option in self.options:
            match = _INCLUDE.fullmatch(option[0])
            if match is not None:
                found[match[2] or (option[1] if len(option) > 1 else "")] = None
        return tuple(each for each in found if each)

    @property
    def target_options(self) -> tuple[str, ...]:
        """Those that choose another set of libraries and tools: -m32, --target=..., -fuse-ld=..."""
        return tuple(each[0] for each in self.options if _TARGET_OPTION.fullmatch(each[0]))

    @property
    def libraries(self) -> tuple[str, ...]:
        """The names after -l."""
        names = []
        for option in self.options:
            if option[0] == "-l" and len(option) > 1:
                names.append(option[1])
            elif option[0].startswith("-l") and len(option[0]) > 2:
                names.append(option[0][2:])
        return tuple(dict.fromkeys(names))

    @property
    def library_dirs(self) -> tuple[str, ...]:
        """The directories after -L."""
        found = []
        for option in self.options:
            if option[0] == "-L" and len(option) > 1:
                found.append(option[1])
            elif option[0].startswith("-L") and len(option[0]) > 2:
                found.append(option[0][2:])
        return tuple(found)

    @property
    def uses_lto(self) -> bool:
        return any(option[0].startswith("-flto") for option in self.options)


@lru_cache(maxsize=4096)
def parse(argv: tuple[str, ...]) -> CompilerCall | None:
    """Read a command line; None when it is not a call of a gcc- or clang-like driver.

    Remembered, because planner, toolchain and include scanner ask the same of each command.
    """
    for words in reversed(shell.commands_of(argv)):
        length = _driver_words(words)
        if length:
            return _read(words[:length], words[length:])
    return None


def _driver_words(words: tuple[str, ...]) -> int:
    """How many words name the compiler; 0 when the command is none."""
    name = basename(words[0])
    if _DRIVER.fullmatch(name):
        return 1
    if name in {"zig", "python-zig"} and words[1:2] in {("cc",), ("c++",)}:
        return 2
    if _PYTHON.fullmatch(name) and words[1:3] == ("-m", "ziglang"):
        return 4 if words[3:4] in {("cc",), ("c++",)} else 0
    return 0


def _read(driver: tuple[str, ...], words: tuple[str, ...]) -> CompilerCall:
    options: list[tuple[str, ...]] = []
    sources: list[str] = []
    rest = iter(words)
    for word in rest:
        if word in _TAKES_WORD:
            value = next(rest, None)
            options.append((word,) if value is None else (word, value))
            continue
        options.append((word,))
        if not word.startswith("-") or word == "-":
            sources.append(word)
    return CompilerCall(driver, tuple(options), tuple(sources))


def dependency_probe(call: CompilerCall) -> tuple[str, ...] | None:
    """The argv that prints the make rule of a compilation; None when the call is no compilation
    of exactly one source, or makes a precompiled header."""
    if not call.compiles or len(call.sources) != 1 or call.sources[0].startswith("@"):
        return None
    words = list(call.driver)
    for option in call.options:
        if option[0] in _DROPPED_ALONE or option[0] in _DROPPED_WITH_WORD:
            if option[0] == "-o" and option[-1].endswith(_PCH_SUFFIXES):
                return None
        elif not _DROPPED_JOINED.fullmatch(option[0]):
            words += option
    return (*words, "-M")
