"""In which folders a compilation looks for headers: those it names, then the compiler's own.

    SearchPaths().of(step, call, tools) -> (folder, ...) | None

Rules
- Only options that are known not to change the search are let through (`_HARMLESS`); with any
  other one the answer is None, and the compiler must be asked for the headers themselves.
- The compiler's own folders are asked of it once per (driver, options that choose a target, tools'
  digests), with `-E -v`. Folders that it ignores because they do not exist are kept: they might
  come into being.

Thread-safe. Deliberately not here: the order of the folders, which nobody here needs.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Iterable, Mapping
from posixpath import isabs, splitext

from mesh.limits import PROBE_TIMEOUT_S
from mesh.planners import cc
from mesh.planners.base import Step
from mesh.planners.toolchain import Tools

_LANGUAGES = {".c": "c", ".S": "assembler-with-cpp", ".sx": "assembler-with-cpp"}
_CXX_SUFFIXES = frozenset({".cc", ".cpp", ".cxx", ".c++", ".C", ".cp", ".CPP"})
_HARMLESS = re.compile(
    r"""-[DUOgW](?!p,|a,|l,).*          # definitions, optimisation, debugging, warnings
      | -(?:c|S|w|ansi|pipe|pthread|pedantic.*|M[DMP]?|MMD|std=.*)
      | -(?:o|M[FTQJ])(?:.+)?
      | -f(?!.*modul|plugin|pch|ms-|input-charset|preproc|directives|openmp-targets|offload|build-s)
           [\w+-]+(?:=.*)?
      | -(?:I|isystem|iquote|idirafter)(?![-=$]).*""",
    re.VERBOSE | re.DOTALL,
)
_FEATURE = re.compile(
    r"-m(?:no-)?(?:mmx|3dnow|s?sse|avx|fma|bmi|lzcnt|popcnt|v?pclmul|aes|vaes|sha|gfni|xsave|f16c"
    r"|adx|crc32|tune=|fpmath=|red-zone|stackrealign)[\w.,=+-]*"
)
"""Options that change the code and not where headers are."""
_TARGET = re.compile(r"-(?:m|nostdinc|stdlib=|-sysroot=|-target=)[\w.,=+/-]*|-nostdinc\+\+")
_ENVIRONMENT = frozenset(
    {"CPATH", "C_INCLUDE_PATH", "CPLUS_INCLUDE_PATH", "OBJC_INCLUDE_PATH", "COMPILER_PATH"}
    | {"GCC_EXEC_PREFIX", "DEPENDENCIES_OUTPUT", "SUNPRO_DEPENDENCIES", "CCC_OVERRIDE_OPTIONS"}
)
_START, _END = "search starts here:", "End of search list."
_IGNORED = re.compile(r'ignoring nonexistent directory "(.+)"')


class SearchPaths:
    """Remembers the compilers' own folders; one for a node."""

    def __init__(self) -> None:
        self._known: dict[object, tuple[str, ...] | None] = {}
        self._lock = threading.Lock()
        self.probes = 0
        """Compilers asked, for tests of warmth."""

    def of(self, step: Step, call: cc.CompilerCall, tools: Tools) -> tuple[str, ...] | None:
        """The folders, as written, or None when they cannot be known this way."""
        env = dict(step.env)
        language = _language(call)
        if language is None or not _ENVIRONMENT.isdisjoint(env):
            return None
        target = []
        for option in call.options:
            if option[0] in call.sources or _FEATURE.fullmatch(option[0]):
                continue
            if option[-1].startswith(("=", "$")):
                return None  # below the system root, wherever that is
            if _TARGET.fullmatch(option[0]):
                target.append(option[0])
            elif not _HARMLESS.fullmatch(option[0]):
                return None
        argv = (*call.driver, *target, "-E", "-v", "-x", language, os.devnull)
        own = self._own(argv, env, tools)
        return None if own is None else (*call.include_dirs, *own)

    def _own(
        self, argv: tuple[str, ...], env: Mapping[str, str], tools: Tools
    ) -> tuple[str, ...] | None:
        if "/" in argv[0] and not isabs(argv[0]):
            return None  # a compiler of the project itself
        key = (argv, env.get("PATH"), tuple(tools.items()))
        with self._lock:  # held while asking: everybody else waits for the same answer
            if key not in self._known:
                self.probes += 1
                self._known[key] = _ask(argv, env)
            return self._known[key]


def _language(call: cc.CompilerCall) -> str | None:
    suffix = splitext(call.sources[0])[1]
    if suffix in _CXX_SUFFIXES or (suffix == ".c" and call.is_cxx):
        return "c++"
    return _LANGUAGES.get(suffix)


def _ask(argv: tuple[str, ...], env: Mapping[str, str]) -> tuple[str, ...] | None:
    try:
        done = subprocess.run(
            argv,
            cwd="/",
            env={**env, "LC_ALL": "C"},  # the headings are translated otherwise
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        return None
    return _listed(done.stderr.decode("utf-8", "surrogateescape").splitlines())


def _listed(lines: Iterable[str]) -> tuple[str, ...] | None:
    """The folders between the headings, and those that do not exist."""
    found: dict[str, None] = {}
    listing = ended = False
    for line in lines:
        if line.endswith(_START):
            listing = True
        elif line == _END:
            listing, ended = False, True
        elif listing and line.startswith(" "):
            found[line.strip()] = None
        elif ignored := _IGNORED.fullmatch(line):
            found[ignored[1]] = None
    usable = ended and all(isabs(path) and not path.endswith(")") for path in found)
    return tuple(dict.fromkeys(map(os.path.normpath, found))) if usable else None
