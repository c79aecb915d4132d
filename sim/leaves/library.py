"""The firmware's core as a shared library of this machine, for ctypes.

    library().board_make(...)

`firmware/build.py host` makes it from the very sources that go onto the boards; it is built when it
is first needed and again when a source has changed. Deliberately not here: what the functions mean
(`firmware/host/board.h`, `access.c` and `vm_host.c` say).
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from sim.sources import FIRMWARE

_U32 = ctypes.c_uint32


class NoFirmware(Exception):
    """The sources or a compiler are missing; the text says which."""


def build_module() -> ModuleType:
    """`firmware/build.py`. Raises NoFirmware where its sources are missing."""
    script = FIRMWARE / "build.py"
    spec = importlib.util.spec_from_file_location("firmware_build", script)
    if not script.exists() or spec is None or spec.loader is None:
        raise NoFirmware("the firmware's sources are not part of this installation")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@functools.cache
def path() -> Path:
    """The library, built if need be with whichever compiler is there. Raises NoFirmware."""
    module = build_module()
    why = ""
    for compiler in ("zig", "gcc"):
        try:
            made: Path = module.build(module.HOST, compiler)
        except module.BuildFailed as failed:
            why = why or str(failed)
        else:
            return made
    raise NoFirmware(why)


@functools.cache
def library() -> ctypes.CDLL:
    """The loaded library, with the types of what needs any. Raises NoFirmware."""
    loaded = ctypes.CDLL(str(path()))
    loaded.board_make.argtypes = [ctypes.c_char_p, _U32, ctypes.c_uint64]
    loaded.board_flash.restype = ctypes.POINTER(ctypes.c_uint8)
    loaded.board_boot_nonce.restype = ctypes.c_void_p
    loaded.board_events.restype = _U32
    for name in ("board_bytes", "board_feed", "board_take", "board_count", "board_uart", "crc32c"):
        getattr(loaded, name).restype = _U32
    loaded.ed25519_verify.restype = ctypes.c_bool
    return loaded
