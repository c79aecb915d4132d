"""The name of a machine's kind, as toolchains carry it."""

from __future__ import annotations

import platform
import sys
from functools import cache


@cache
def this_platform() -> str:
    """`os-arch`, e.g. `linux-x86_64`."""
    return f"{sys.platform}-{platform.machine()}"
