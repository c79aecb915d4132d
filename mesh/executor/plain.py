"""Running without a sandbox: mount paths become scratch paths on the way in, and back on the way
out, so that most results are byte for byte those of a sandbox.

- argv, env and cwd: every occurrence of a mount path as a whole path prefix is replaced.
- C and C++ compilers also get `-ffile-prefix-map`, which keeps the scratch path out of debug
  information and `__FILE__`.
- stdout, stderr, depfiles (`*.d`) and absolute links are mapped back.

Known gap: a scratch path that a tool writes elsewhere (an rpath, a generated script) stays. That is
one reason why plain mode warns. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_COMPILER = r"(?:[\w.]+-)*(?:gcc|g\+\+|cc|c\+\+|clang|clang\+\+)(?:-[\d.]+)?"
_IS_COMPILER = re.compile(rf"(?:.*/)?{_COMPILER}")
_IN_SHELL = re.compile(rf"((?:^|&&|\|\||;|\()\s*(?:[^\s;&|()]*/)?{_COMPILER})(?=\s)")
_SHELLS = ("sh", "bash", "dash")
_ENDS = r"(?![\w.+~@%-])"
"""A mount path is one only when no more of a file name follows."""


class Rewriter:
    """Maps between mounts and their places below `root`, which mirrors the sandbox's root."""

    def __init__(self, root: str, mounts: Sequence[str]) -> None:
        self._root = root
        self._mounts = tuple(sorted(mounts, key=len, reverse=True))
        names = "|".join(re.escape(mount) for mount in self._mounts)
        self._inward = re.compile(f"(?:{names}){_ENDS}")
        self._prefix = root.encode()
        self._outward = re.compile(
            b"|".join(re.escape((root + mount).encode()) for mount in self._mounts)
        )

    def path(self, path: str) -> str:
        return self._root + path

    def text(self, text: str) -> str:
        """Mount paths -> scratch paths."""
        return self._inward.sub(lambda match: self._root + match[0], text)

    def back(self, data: bytes) -> bytes:
        """Scratch paths -> mount paths."""
        return self._outward.sub(lambda match: match[0][len(self._prefix) :], data)

    def env(self, env: Mapping[str, str], tmp: str) -> dict[str, str]:
        """The environment, with a private TMPDIR unless the action chose its own."""
        return {"TMPDIR": tmp} | {name: self.text(value) for name, value in env.items()}

    def argv(self, argv: Sequence[str]) -> list[str]:
        """The command with scratch paths, and the prefix map where a compiler is called."""
        mapped = [self.text(each) for each in argv]
        if _IS_COMPILER.fullmatch(argv[0]):
            return [*mapped, *self._prefix_maps()]
        shell = argv[0].rpartition("/")[2] in _SHELLS
        if shell and len(argv) >= 3 and argv[1] in ("-c", "-ec"):
            maps = " ".join(f"'{each}'" for each in self._prefix_maps())
            mapped[2] = _IN_SHELL.sub(lambda match: f"{match[1]} {maps}", mapped[2])
        return mapped

    def _prefix_maps(self) -> list[str]:
        return [f"-ffile-prefix-map={self._root}{mount}={mount}" for mount in self._mounts]
