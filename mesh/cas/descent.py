"""Walking down a directory tree without being led out of it by a symbolic link.

The way is walked one component at a time with `openat(O_NOFOLLOW)`. A link on the way is read and
its target walked in the same manner, so that a link elsewhere inside the root works and one that
leads out is PathEscapes; there is no moment at which the kernel follows one for us. (`openat2` with
RESOLVE_BENEATH would do the same in one call, but Python has no door to it.)
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections import OrderedDict
from pathlib import Path

from mesh.errors import PathEscapes

_LINKS_MAX = 40
"""As the kernel's own bound on one resolution."""
_OPEN_MAX = 64
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Descent:
    """Opens directories below `root`, making those that are missing. A context manager: entering
    raises OSError when the root is not there.

    The root itself may be reached through links: it is the user's own choice.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._open: OrderedDict[tuple[str, ...], int] = OrderedDict()
        self._root_fd = -1

    def __enter__(self) -> Descent:
        self._root_fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        return self

    def __exit__(self, *_: object) -> None:
        while self._open:
            os.close(self._open.popitem()[1])
        os.close(self._root_fd)

    def open(self, relative: str) -> int:
        """A descriptor of the directory; it stays ours and is valid until the next call.

        Raises PathEscapes, and OSError when something that is no directory is in the way.
        """
        return self._resolve([part for part in relative.split("/") if part], _LINKS_MAX)

    def _resolve(self, todo: list[str], links_left: int) -> int:
        """Walk `todo`; `done` is the physical way so far, free of links."""
        done: list[str] = []
        todo = todo[::-1]
        fd = self._root_fd
        while todo:
            name = todo.pop()
            if name in (".", ""):
                continue
            if name == "..":
                if not done:
                    raise PathEscapes(path="..", root=str(self.root))
                done.pop()
                fd = self._known(tuple(done))
                continue
            target = self._step(fd, (*done, name))
            if isinstance(target, int):
                done.append(name)
                fd = target
                continue
            links_left -= 1
            if links_left < 0:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            if target.startswith("/"):
                raise PathEscapes(path="/".join((*done, name)), root=str(self.root))
            todo.extend(target.split("/")[::-1])
        return fd

    def _known(self, parts: tuple[str, ...]) -> int:
        """Reopen a way that was just walked."""
        fd = self._root_fd
        for depth in range(1, len(parts) + 1):
            step = self._step(fd, parts[:depth])
            if isinstance(step, str):
                raise PathEscapes(path="/".join(parts), root=str(self.root))
            fd = step
        return fd

    def _step(self, parent: int, parts: tuple[str, ...]) -> int | str:
        """Open one directory (made when missing), or say where the link in its place leads."""
        fd = self._open.get(parts)
        if fd is not None:
            self._open.move_to_end(parts)
            return fd
        name = parts[-1]
        try:
            fd = self._open_or_make(parent, name)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise
            try:
                return os.readlink(name, dir_fd=parent)
            except OSError:
                raise error from None
        self._open[parts] = fd
        if len(self._open) > _OPEN_MAX:
            self._close_oldest(keep=parent)
        return fd

    def _open_or_make(self, parent: int, name: str) -> int:
        try:
            return os.open(name, _DIRECTORY, dir_fd=parent)
        except FileNotFoundError:
            # Somebody else may make it meanwhile; whatever it is, the next open judges it.
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, dir_fd=parent)
            return os.open(name, _DIRECTORY, dir_fd=parent)

    def _close_oldest(self, keep: int) -> None:
        for parts, fd in self._open.items():
            if fd != keep:
                del self._open[parts]
                os.close(fd)
                return
