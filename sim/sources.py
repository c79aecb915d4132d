"""Where the firmware's sources are: beside this package in a checkout, inside it when installed.

FIRMWARE / "build.py"
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parent / "firmware"
FIRMWARE = _CHECKOUT if (_CHECKOUT / "build.py").exists() else _PACKAGE / "firmware"
