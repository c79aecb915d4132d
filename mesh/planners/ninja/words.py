"""What the command of an edge says about it.

Ninja knows a command only as text; some of what must be true of an action is in that text: whether
it is a compilation, what compiler to ask for headers, whether an archive is thin (and so useless
without its members), and which files it names without declaring them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from posixpath import basename, join, normpath

from mesh.planners import cc, shell

_ARCHIVER = re.compile(r"(?:.*-)?(?:gcc-|llvm-)?ar(?:-\d[\d.]*)?")
_PCH = re.compile(r".*\.(?:gch|pch)")
_PLAIN = frozenset(
    {":", "true", "cd", "rm", "ln", "cp", "mv", "mkdir", "touch", "strip", "objcopy", "ranlib"}
    | {"sh", "bash", "dash"}
)
_BUILD_TOOLS = frozenset({"ninja", "ninja-build", "samu", "make", "gmake", "ctest", "cpack"})
_PIECES = re.compile(r"[=,;]")


def compiler_call(command: str, rspfile: str = "", content: str = "") -> cc.CompilerCall | None:
    """The compilation that a command is, when it is nothing else; `content` takes the place of
    `@rspfile`."""
    words = shell.simple(command)
    if words is None:
        return None
    reference = "@" + rspfile
    if rspfile and reference in words:
        # Response files are split at white space, line breaks included, with the shell's quotes.
        inner = shell.simple("x " + content.replace("\n", " "))
        if inner is None:
            return None
        at = words.index(reference)
        words = (*words[:at], *inner[1:], *words[at + 1 :])
    return cc.parse(words)


def makes_thin_archive(command: str) -> bool:
    """Whether the command makes an archive that only refers to its members (Meson's way)."""
    for words in shell.commands(command):
        if _ARCHIVER.fullmatch(basename(words[0])) and len(words) > 1:
            if "T" in words[1].lstrip("-") and not words[1].startswith("--"):
                return True
            if "--thin" in words:
                return True
    return False


def uses_pch(paths: tuple[str, ...]) -> bool:
    """Whether a precompiled header is among the paths."""
    return any(_PCH.fullmatch(path) for path in paths)


def runs_build_tool(command: str) -> str:
    """The build tool that a command calls, which would do anything; "" when none."""
    for words in shell.commands(command):
        name = basename(words[0])
        if name in _BUILD_TOOLS:
            return name
        if name == "cmake" and {"--build", "--install", "--regenerate-during-build"} & set(words):
            return name
    return ""


def programs(command: str) -> list[str]:
    """The programs of a command line, as written."""
    return [words[0] for words in shell.commands(command)]


def is_plain(command: str) -> bool:
    """Whether all programs are compilers, archivers and small tools, which do not themselves look
    for further programs of the user's on PATH."""
    for words in shell.commands(command):
        name = basename(words[0])
        cmake_tool = name == "cmake" and words[1:2] == ("-E",)
        archiver = _ARCHIVER.fullmatch(name) is not None
        if name not in _PLAIN and not cmake_tool and not archiver and cc.parse(words) is None:
            return False
    return True


def named_paths(command: str, cwd: str) -> Iterator[str]:
    """Absolute normal paths that words of the command may mean: `a`, `--opt=a`, `-Wl,-T,a`."""
    for words in shell.commands(command):
        if words[0] == "cd" and len(words) > 1:
            cwd = normpath(join(cwd, words[1]))
            continue
        for word in words:
            for piece in dict.fromkeys([word, *_PIECES.split(word)]):
                if piece and not piece.startswith("-") and "\0" not in piece:
                    yield normpath(join(cwd, piece))


def copies_folders(command: str) -> bool:
    """Whether the command copies whole folders, so that a folder it names is an input."""
    return any("copy_directory" in word for words in shell.commands(command) for word in words)
