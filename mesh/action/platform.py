"""The name of a machine's kind, as toolchains carry it.

    linux-x86_64                      for commands that ask for no particular processor
    linux-x86_64+3f9a0c1b27d84e56     for those that ask for "the very one I run on"

`-march=native` makes the processor an input: what one machine makes with it may not even run on
another. Only machines whose processors are alike exchange such results.
"""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterable
from functools import cache
from hashlib import sha256
from pathlib import Path

_NATIVE = re.compile(r"(?:-m(?:arch|tune|cpu)|target-cpu)[= ]native\b|-xHost\b")
_TELLING = ("vendor_id", "cpu family", "model", "stepping", "flags", "cache size")
_TELLING_ARM = ("CPU implementer", "CPU variant", "CPU part", "CPU revision", "Features", "isa")


@cache
def this_platform() -> str:
    """`os-arch`, e.g. `linux-x86_64`."""
    return f"{sys.platform}-{platform.machine()}"


@cache
def native_platform() -> str:
    """The same with a digest of what compilers look at in this machine's processors."""
    seen = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text("utf-8", "replace").splitlines()
        told = {line for line in lines if line.partition(":")[0].strip() in _TELLING + _TELLING_ARM}
        seen = "\n".join(sorted(told))
    return f"{this_platform()}+{sha256(seen.encode()).hexdigest()[:16]}"


def platform_for(words: Iterable[str]) -> str:
    """What a command with these words and environment values depends on."""
    native = any("native" in word or "-xHost" in word for word in words)
    if native and any(_NATIVE.search(word) for word in words):
        return native_platform()
    return this_platform()
