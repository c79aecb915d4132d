"""What a node does is decided by its inputs, its ports and nothing else.

A simulated run can be repeated bit for bit only if no code beside the real ports looks at a clock,
draws randomness, starts a thread, or goes through a set in the order of hashes and addresses. Each
test names what it found; what is allowed all the same stands in a table with its reason.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REAL = ("mesh/ports/real/", "mesh/executor/", "mesh/node/__main__.py", "mesh/node/real_env.py")
"""The real world's side: ports, the sandbox behind the Actions port, the process's entry point."""

LEAKS = {
    "time": {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"}
    | {"sleep", "process_time", "localtime", "gmtime", "strftime"},
    "datetime": {"now", "utcnow", "today"},
    "os": {"urandom", "getrandom", "getpid", "cpu_count", "sched_getaffinity", "times", "fork"},
    "random": {"*"},
    "secrets": {"*"},
    "uuid": {"*"},
    "threading": {"Thread", "Timer", "local", "get_ident", "Condition", "Event", "Barrier"},
    "multiprocessing": {"*"},
    "concurrent": {"*"},
    "asyncio": {"*"},
    "socket": {"*"},
    "select": {"*"},
    "tempfile": {"*"},
    "sqlite3": {"*"},
    "zeroconf": {"*"},
}
BANNED_CALLS = {"id", "hash"}
"""Addresses, and hashes that differ from process to process."""
TRIO_LEAKS = {"to_thread", "from_thread", "run_process", "Process", "open_process", "socket"}
TRIO_LEAKS |= {"open_file", "open_tcp_stream", "open_signal_receiver", "current_time_offset"}

ALLOWED = {
    ("mesh/planners/environment.py", "time.monotonic"): "how long a real shim's answer is believed",
}
IDENTITY_ALLOWED = {
    "mesh/state/attestations.py": "slots of a table that is never gone through in their order; and"
    " who invents digests cannot make them collide",
    "mesh/planners/ninja/graph.py": "keys of a table that is never gone through",
}
ORDER_ALLOWED = {
    ("mesh/scheduler/graph.py", "set(each)"): "small integers: the same order everywhere",
    ("mesh/scheduler/graph.py", "set(needs[index])"): "small integers: the same order everywhere",
    ("mesh/identity/join_refusals.py", "needed"): "makes keyword arguments",
    ("mesh/planners/ninja/logs.py", "paths"): "only the greatest of their times is used",
    ("mesh/planners/ninja/planner.py", "members"): "where a search starts; it ends with a set",
}


def sources() -> list[Path]:
    found = sorted((ROOT / "mesh").rglob("*.py"))
    return [path for path in found if not _relative(path).startswith(REAL)]


def _relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _leaks(path: Path) -> Iterator[tuple[str, int]]:
    """(dotted name, line) of everything in the tables above that a file uses."""
    names: dict[str, str] = {}
    for node in ast.walk(parsed(path)):
        for bound, full in _imports(node):
            names[bound] = full
            if _is_leak(full):
                yield full, node.lineno
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            full = f"{names.get(node.value.id, '')}.{node.attr}"
            if _is_leak(full) or (full.startswith("trio.") and node.attr in TRIO_LEAKS):
                yield full, node.lineno


def _imports(node: ast.AST) -> Iterator[tuple[str, str]]:
    """(name in the file, what it stands for); of a module only the first part."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            top = alias.name.split(".")[0]
            yield alias.asname or top, top
    elif isinstance(node, ast.ImportFrom):
        top = (node.module or "").split(".")[0]
        for alias in node.names:
            yield alias.asname or alias.name, f"{top}.{alias.name}"


def _is_leak(full: str) -> bool:
    module, _, name = full.partition(".")
    banned = LEAKS.get(module, set())
    return "*" in banned or name.rpartition(".")[2] in banned


def test_nothing_beside_the_ports_looks_at_the_world() -> None:
    wrong = [
        f"{_relative(path)}:{line} {name}"
        for path in sources()
        for name, line in _leaks(path)
        if (_relative(path), name) not in ALLOWED
    ]
    assert not wrong, "\n".join(wrong)


def test_what_is_allowed_is_still_there() -> None:
    used = {(_relative(path), name) for path in sources() for name, _ in _leaks(path)}
    assert not ALLOWED.keys() - used, "no longer needed"


def test_nothing_depends_on_addresses_or_hash_seeds() -> None:
    wrong = [
        f"{_relative(path)}:{node.lineno} {node.func.id}()"
        for path in sources()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in BANNED_CALLS
        and _relative(path) not in IDENTITY_ALLOWED
    ]
    assert not wrong, "\n".join(wrong)


def test_no_set_is_gone_through_in_its_own_order() -> None:
    """Only what is plainly a set in the same function is seen: a literal, a call of `set`, a
    comprehension, or a name or attribute that such a thing is assigned to. What is made of it by
    `sorted`, `len`, `in`, `any`, `min`, `sum`, a set operation ... does not show its order."""
    wrong = [
        f"{_relative(path)}:{line} {what}"
        for path in sources()
        for line, what in _set_walks(parsed(path))
        if (_relative(path), what) not in ORDER_ALLOWED
    ]
    assert not wrong, "\n".join(wrong)


def _set_walks(tree: ast.Module) -> Iterator[tuple[int, str]]:
    attributes = {name for node in ast.walk(tree) for name in _assigned_set(node) if "." in name}
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    seen: set[tuple[int, str]] = set()
    for scope in (node for node in ast.walk(tree) if isinstance(node, functions)):
        sets = attributes | {name for node in ast.walk(scope) for name in _assigned_set(node)}
        for node in ast.walk(scope):
            for walked in _walked(node):
                if _is_set(walked) or _name(walked) in sets:
                    seen.add((walked.lineno, ast.unparse(walked)))
    yield from sorted(seen)


def _walked(node: ast.AST) -> Iterator[ast.expr]:
    """Expressions whose order of iteration shows."""
    if isinstance(node, ast.For | ast.AsyncFor):
        yield node.iter
    elif isinstance(node, ast.ListComp | ast.DictComp):
        for each in node.generators:
            yield each.iter
    elif isinstance(node, ast.List | ast.Tuple):
        yield from (each.value for each in node.elts if isinstance(each, ast.Starred))
    elif (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"list", "tuple", "iter", "enumerate", "next", "dict"}
        and node.args
    ):
        yield node.args[0]


def _assigned_set(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Assign) and _is_set(node.value):
        yield from filter(None, (_name(target) for target in node.targets))
    elif isinstance(node, ast.AnnAssign):
        annotated = ast.unparse(node.annotation).startswith(("set[", "frozenset["))
        name = _name(node.target)
        if name and (annotated or (node.value is not None and _is_set(node.value))):
            yield name


def _name(node: ast.expr) -> str:
    """`self.x` -> "self.x", `x` -> "x", anything else nothing."""
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _is_set(node: ast.expr) -> bool:
    if isinstance(node, ast.Set | ast.SetComp):
        return True
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"set", "frozenset"}
    )
