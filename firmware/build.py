"""Builds the leaf's firmware: `python firmware/build.py [TARGET...]`.

Targets are the four boards and `host`, the shared library that tests drive. The compiler is the one
that comes with `pip install ziglang`; `--compiler gcc` takes `arm-none-eabi-gcc` (and `gcc` for the
host) instead. Both build without a warning. What is up to date is not built again: the name of the
output's folder is a digest of the sources, this script and the compiler's version.

Deliberately not here: flashing (each board's own tool), sizes (`bench/leaf_size.py`).
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


def _out() -> Path:
    """In a checkout its `build` folder; an installed package has no business in its own folder."""
    if (HERE.parent / "pyproject.toml").exists():
        return HERE.parent / "build" / "firmware"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vitte" / "firmware"


OUT = _out()
ZIG_CACHE = OUT.parent / "zig"
"""Zig compiles its own run-time library for each kind of processor once: 5 s."""
BUILD_TIMEOUT_S = 300.0
COMPILERS = ("zig", "gcc")
BOOT2_AT, BOOT2_BYTES = 0x10000000, 256


@dataclass(frozen=True)
class Target:
    """One microcontroller."""

    name: str
    number: int
    """`board` of program.cddl."""
    cpu: str
    """As gcc spells it."""
    clock_hz: int
    files: tuple[str, ...]
    """In hal/, besides the shared ones."""


SHARED = ("whole.c", "bus.c")
TARGETS = {
    each.name: each
    for each in (
        Target("stm32f405", 1, "cortex-m4", 64_000_000, ("stm32.c", "stm32f405.c")),
        Target("stm32h7a3", 2, "cortex-m7", 64_000_000, ("stm32.c", "stm32h7a3.c")),
        Target("nrf52840", 3, "cortex-m4", 64_000_000, ("nrf52840.c",)),
        Target("rp2040", 4, "cortex-m0plus", 96_000_000, ("rp2040.c", "boot2.c")),
    )
}
# For emulators only: the nRF52840's driver on the nRF51 of a micro:bit, which has the same blocks.
EMULATED = {"microbit": Target("microbit", 3, "cortex-m0", 16_000_000, ("nrf52840.c",))}
HOST = "host"

WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wstrict-prototypes", "-Wvla")
# Contexts of signatures are written as strings without their final zero.
WARNINGS += ("-Wno-unterminated-string-initialization",)
ARM = (
    *("-std=c11", "-ffreestanding", "-fno-builtin", "-mthumb", "-mfloat-abi=soft"),
    *("-ffunction-sections", "-fdata-sections", "-fno-strict-aliasing", "-fomit-frame-pointer"),
    *("-Wl,--gc-sections", "-g"),
)
# Without -flto: its linker inlines as if for speed, which costs flash and stack. Loops and
# functions are not padded, and a function goes into its caller only where that is smaller.
SMALL = (
    *("-Oz", "-moutline", "-falign-loops=1", "-falign-functions=2"),
    *("-mllvm", "-inline-threshold=-50", "-mllvm", "-inlinehint-threshold=-50"),
    *("-mllvm", "-inlinecold-threshold=-50"),
    *("-mllvm", "-inline-instr-cost=10", "-mllvm", "-inline-call-penalty=5"),
)
# A Cortex-M0+ has few immediates and registers: addresses are built from each other, what is cheap
# is built anew.
SMALL_V6M = (
    *("-mllvm", "-consthoist-gep", "-mllvm", "-arm-global-merge", "-mllvm", "-disable-machine-cse"),
    *("-mllvm", "-split-spill-mode=size"),
)
# gcc's -Os still makes copies for constant arguments, one large function of several that are called
# once, and keeps values over loops. A Cortex-M0+ has no registers for that.
SMALL_GCC = (
    *("-fno-inline-functions-called-once", "-fno-ipa-cp", "-fno-tree-loop-im"),
    *("-fno-move-loop-invariants", "-fno-guess-branch-probability", "-fno-tree-vrp"),
)
HOST_FLAGS = ("-std=c11", "-O1", "-g", "-shared", "-fPIC")


class BuildFailed(Exception):
    """The compiler refused, or there is none."""


@functools.cache
def compiler_command(compiler: str, target: str) -> tuple[str, ...]:
    """The command that compiles for a target. Raises BuildFailed when it is not installed."""
    if compiler == "zig":
        try:
            import ziglang  # noqa: F401
        except ImportError:
            raise BuildFailed("no compiler: pip install ziglang") from None
        return (sys.executable, "-m", "ziglang", "cc")
    name = "gcc" if target == HOST else "arm-none-eabi-gcc"
    if shutil.which(name) is None:
        raise BuildFailed(f"{name} is not installed")
    return (name,)


def arm_flags(target: Target, compiler: str) -> list[str]:
    cpu = target.cpu.replace("-", "_") if compiler == "zig" else target.cpu
    flags = [*ARM, *WARNINGS, f"-mcpu={cpu}"]
    flags += [f"-DBOARD={target.number}", f"-DCLOCK_HZ={target.clock_hz}u"]
    if compiler == "zig":
        flags += [*SMALL, *(SMALL_V6M if target.cpu == "cortex-m0plus" else ())]
        flags += ["-target", "thumb-freestanding-eabi", "-fno-sanitize=all"]
    else:
        flags += ["-Os", "-flto", *SMALL_GCC, "-nostdlib", "-Wl,--no-warn-rwx-segments"]
        flags += ["-fno-tree-loop-distribute-patterns"]  # or memset would call itself
    return flags


def part(target: str) -> Target:
    return (TARGETS | EMULATED)[target]


def sources(target: str) -> list[Path]:
    if target == HOST:
        return sorted((HERE / "core").glob("*.c")) + sorted((HERE / "host").glob("*.c"))
    return [HERE / "hal" / name for name in (*SHARED, *part(target).files)]


def build_line(target: str, compiler: str, output: Path) -> list[str]:
    """The one command that makes an output of a target."""
    line = [*compiler_command(compiler, target)]
    files = [str(each) for each in sources(target)]
    if target == HOST:
        sanitize = ("-fno-sanitize=all",) if compiler == "zig" else ()
        return [*line, *HOST_FLAGS, *WARNINGS, *sanitize, *files, "-o", str(output)]
    line += [*arm_flags(part(target), compiler), *files]
    line += [str(HERE / "hal" / "memory.c")] if compiler == "gcc" else []
    line += ["-T", f"{target}.ld"]
    return [*line, *(["-lgcc"] if compiler == "gcc" else []), "-o", str(output)]


@functools.cache
def _version(compiler: str, target: str) -> bytes:
    words = compiler_command(compiler, target)
    asked = [*words[:-1], "version"] if compiler == "zig" else [*words, "--version"]
    return subprocess.run(asked, check=True, capture_output=True, timeout=60).stdout


def digest(target: str, compiler: str) -> str:
    """Changes whenever the output might."""
    whole = hashlib.sha256(_version(compiler, target))
    for path in sorted(HERE.rglob("*")):
        if path.suffix in {".c", ".h", ".ld", ".py"}:
            whole.update(path.relative_to(HERE).as_posix().encode() + b"\0" + path.read_bytes())
    return whole.hexdigest()[:16]


def build(target: str, compiler: str = "zig", out: Path = OUT) -> Path:
    """Builds one target unless it is there; returns its .elf (`host`: its .so). Raises
    BuildFailed, with what the compiler said."""
    suffix = "so" if target == HOST else "elf"
    output = out / f"{compiler}-{digest(target, compiler)}" / f"{target}.{suffix}"
    if output.exists():
        return output
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent) as scratch:
        made = Path(scratch) / output.name
        line = build_line(target, compiler, made)
        ld = HERE / "ld"  # where linkers look for what a script includes
        done = subprocess.run(
            line,
            cwd=ld,
            env={"ZIG_GLOBAL_CACHE_DIR": str(ZIG_CACHE), **os.environ},
            capture_output=True,
            text=True,
            timeout=BUILD_TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            raise BuildFailed(f"{target}: {done.stderr.strip()}")
        if target == "rp2040":
            seal_boot2(made)
        made.replace(output)
    return output


def crc32_of_rom(data: bytes) -> int:
    """CRC-32 as the boot ROM of an RP2040 counts it: most significant bit first, not inverted."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc >> 31 else 0)) & 0xFFFFFFFF
    return crc


def seal_boot2(elf: Path) -> None:
    """Write the checksum that the boot ROM compares into the last word of the segment at the
    start of flash."""
    image = bytearray(elf.read_bytes())
    (table,) = struct.unpack_from("<I", image, 0x1C)
    size, count = struct.unpack_from("<HH", image, 0x2A)
    for at in range(table, table + size * count, size):
        kind, offset, _, address, length = struct.unpack_from("<IIIII", image, at)
        if kind == 1 and address == BOOT2_AT and length >= BOOT2_BYTES:
            end = offset + BOOT2_BYTES - 4
            struct.pack_into("<I", image, end, crc32_of_rom(bytes(image[offset:end])))
            elf.write_bytes(image)
            return
    raise BuildFailed(f"{elf.name}: nothing at {BOOT2_AT:#x}")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="default: all of them")
    parser.add_argument("--compiler", choices=COMPILERS, default="zig")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(argv)
    wrong = set(options.targets) - {*TARGETS, *EMULATED, HOST}
    if wrong:
        parser.error(f"no such target: {', '.join(sorted(wrong))} (of {', '.join(TARGETS)}, host)")
    for target in options.targets or [*TARGETS, HOST]:
        try:
            print(build(target, options.compiler, options.out))
        except BuildFailed as failed:
            print(f"error: {failed}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
