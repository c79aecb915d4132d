"""The house rules that a machine can check, read from the source with `ast`.

- imports point downwards only (LAYERS), and the command line sees next to nothing of the node;
- the sans-IO cores import no clock, no randomness, no I/O and no thread;
- files and functions stay small; nothing prints from `mesh`; nothing is left to do; no path or host
  of somebody's machine.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILE_LINES_MAX = 450
FUNCTION_LINES_MAX = 70
MAY_BE_LONG = {"mesh/errors.py", "mesh/limits.py"}
"""A catalogue is better in one piece."""

LAYERS = (
    {"mesh", "mesh.types", "mesh.limits", "mesh.errors"},
    {"mesh.wire"},
    {"mesh.action"},
    {"mesh.ports"},
    {"mesh.identity", "mesh.swim", "mesh.cas", "mesh.scheduler", "mesh.planners", "mesh.rules"},
    {"mesh.leaf", "mesh.log"},
    {"mesh.state"},
    {"mesh.executor"},
    {"mesh.control"},
    {"mesh.node"},
)
"""Lowest first. A package may import lower layers and itself."""

EXCEPTIONS = {
    # Grants and answers carry signed results and logs, whose shape belongs to the action.
    "mesh/wire/messages.py": {"mesh.action.model"},
}
CLI_MAY_IMPORT = {
    *("mesh", "mesh.errors", "mesh.limits", "mesh.types"),
    *("mesh.control.phases", "mesh.control.views", "mesh.control.events"),
}
CLI_MAY_NOT_IMPORT = {"trio", "zeroconf", "attr", "attrs", "cbor2", "nacl", "cryptography"}

PURE = (
    "mesh/wire",
    "mesh/action",
    "mesh/swim",
    "mesh/scheduler",
    "mesh/identity",
    "mesh/rules",
    "mesh/leaf",
    "mesh/log",
    "mesh/state",
    "mesh/cas/copies",
    "mesh/cas/fetch",
)
IMPURE_MODULES = {
    *("trio", "socket", "time", "random", "os", "threading", "asyncio", "subprocess"),
    *("secrets", "select", "signal", "multiprocessing", "tempfile", "shutil", "http"),
}

MACHINE_PATH = re.compile(r"(?<![\w.])/root/|(?<![\w.])/Users/\w")
"""Somebody's own folders; made-up ones in examples are below /home."""
LEFT_TO_DO = re.compile(r"\b(?:TODO|FIXME|XXX)\b")


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@cache
def imported(path: Path) -> tuple[str, ...]:
    """Dotted names of all modules a file imports, anywhere in it; `from a import b` is `a.b` when
    that is a module of ours, else `a`."""
    return tuple(_imported(path))


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{relative(path)}:{node.lineno}: relative import"
            module = node.module or ""
            for alias in node.names:
                yield f"{module}.{alias.name}" if is_module(module, alias.name) else module


def is_module(package: str, name: str) -> bool:
    inside = ROOT.joinpath(*package.split("."), name)
    return inside.with_suffix(".py").exists() or inside.is_dir()


def layer_of(module: str) -> int | None:
    """Index in LAYERS, None for what is not in `mesh`."""
    parts = module.split(".")
    if parts[0] != "mesh":
        return None
    package = ".".join(parts[:2])
    found = [index for index, layer in enumerate(LAYERS) if package in layer]
    assert found, f"{package} has no layer: give it one in LAYERS"
    return found[0]


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


OURS = sources("mesh", "cli", "sim")


def test_imports_point_downwards() -> None:
    wrong = []
    for path in sources("mesh"):
        own = module_of(path)
        own_layer = layer_of(own)
        for module in imported(path):
            layer = layer_of(module)
            allowed = EXCEPTIONS.get(relative(path), set())
            if module.split(".")[0] in {"cli", "sim", "tests"}:
                wrong.append(f"{own} imports {module}")
            elif layer is not None and own_layer is not None and module not in allowed:
                same_package = module.split(".")[:2] == own.split(".")[:2]
                if layer >= own_layer and not same_package:
                    wrong.append(f"{own} imports {module}, which is not below it")
    assert not wrong, "\n".join(wrong)


def test_the_command_line_knows_little_of_the_node() -> None:
    wrong = []
    for path in sources("cli"):
        for module in imported(path):
            top = module.split(".")[0]
            ours_but_hidden = top == "mesh" and module not in CLI_MAY_IMPORT
            if ours_but_hidden or top in CLI_MAY_NOT_IMPORT or top == "sim":
                wrong.append(f"{relative(path)} imports {module}")
    assert not wrong, "\n".join(wrong)


def test_cores_are_pure() -> None:
    wrong = [
        f"{relative(path)} imports {module}"
        for path in sources(*PURE)
        for module in imported(path)
        if module.split(".")[0] in IMPURE_MODULES or module.startswith("mesh.ports.real")
    ]
    assert not wrong, "\n".join(wrong)


def test_files_stay_small() -> None:
    counted = {relative(path): path.read_text().count("\n") for path in OURS}
    wrong = {
        name: lines
        for name, lines in counted.items()
        if lines > FILE_LINES_MAX and name not in MAY_BE_LONG
    }
    assert not wrong, f"more than {FILE_LINES_MAX} lines: {wrong}"


def test_functions_stay_small() -> None:
    lengths = {
        f"{relative(path)}: {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in OURS
        for node in functions(path)
    }
    wrong = {name: lines for name, lines in lengths.items() if lines > FUNCTION_LINES_MAX}
    assert not wrong, f"more than {FUNCTION_LINES_MAX} lines: {wrong}"


def test_every_file_says_what_it_is() -> None:
    wrong = [
        relative(path) for path in OURS if parsed(path).body and not ast.get_docstring(parsed(path))
    ]
    assert not wrong, f"no docstring: {wrong}"


def test_nothing_prints_from_the_node() -> None:
    wrong = [
        f"{relative(path)}:{node.lineno}"
        for path in sources("mesh")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]
    assert not wrong, f"prints: {wrong}"


def test_nothing_is_left_to_do_and_no_machine_is_named() -> None:
    wrong = []
    for path in texts():
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if LEFT_TO_DO.search(line) or MACHINE_PATH.search(line):
                wrong.append(f"{relative(path)}:{number}: {line.strip()}")
    assert not wrong, "\n".join(wrong)


def texts() -> list[Path]:
    """Everything people read and write here, this file excepted: it holds the patterns."""
    suffixes = {".py", ".md", ".toml", ".c", ".h", ".sh", ".po"}
    folders = ("mesh", "cli", "sim", "tests", "bench", "docs", "examples")
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*"))]
    found = [path for path in [*found, *sorted(ROOT.glob("*"))] if path.suffix in suffixes]
    return [path for path in [*found, ROOT / ".ci" / "run"] if path != Path(__file__).resolve()]
