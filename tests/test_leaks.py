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

import pytest
from set_walks import Declared, set_walks

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
    ("mesh/log/holdings.py", "feeds.union(self._coverage.feeds(node, lane))"): (
        "fills a dict whose keys are then sorted"
    ),
    ("mesh/state/taint.py", "outputs_of(action)"): (
        "a search that ends with sets; its pieces are counted, whatever is in them"
    ),
    ("sim/boards/machine.py", "{at & -word_bytes for at in (address, address + size - 1)}"): (
        "small integers: the same order everywhere"
    ),
}
WORLD = (
    *("blobs", "disk", "faults", "kernel", "machine", "net", "oracles", "scenario", "serial"),
    *("stage", "state", "story", "timeline"),
)
"""Packages of `sim` of which a simulated run is made. The others start, watch and compare runs, or
are the second world."""
SEEDED = {"random.Random"}
MEASURES = "what the run has cost; nothing in it asks"
WORLD_ALLOWED = {
    ("sim/kernel/run.py", "time.process_time"): MEASURES,
    ("sim/scenario/play.py", "time.process_time"): MEASURES,
    ("sim/blobs/world.py", "time.process_time"): MEASURES,
    ("sim/blobs/world.py", "tempfile"): "a folder whose name no node sees",
    ("sim/blobs/world.py", "tempfile.TemporaryDirectory"): "a folder whose name no node sees",
    ("sim/stage/builds.py", "tempfile"): "the project's folder, whose name is kept out of traces",
    ("sim/stage/builds.py", "tempfile.TemporaryDirectory"): (
        "the project's folder, whose name is kept out of traces"
    ),
    ("sim/whole.py", "os.getpid"): "the name of what is being written, which no node sees",
    ("sim/net/multicast.py", "id()"): "keys of a table that keeps the order of insertion",
}


def sources() -> list[Path]:
    found = sorted((ROOT / "mesh").rglob("*.py"))
    return [path for path in found if not _relative(path).startswith(REAL)]


def worlds() -> list[Path]:
    """What a simulated run is made of beside the nodes."""
    within = [path for name in WORLD for path in (ROOT / "sim" / name).rglob("*.py")]
    return sorted([*within, *(ROOT / "sim").glob("*.py")])


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


def test_a_simulated_run_depends_on_its_seed_alone() -> None:
    """The simulator's own world, as the nodes in it: what it draws comes from generators that were
    given a seed."""
    wrong = [
        f"{_relative(path)}:{line} {name}"
        for path in worlds()
        for name, line in (*_leaks(path), *_unseeded(path))
        if name not in SEEDED and (_relative(path), name) not in WORLD_ALLOWED
    ]
    assert not wrong, "\n".join(wrong)


def test_what_the_world_is_allowed_is_still_there() -> None:
    used = {(_relative(path), name) for path in worlds() for name, _ in _leaks(path)}
    used |= {(_relative(path), name) for path in worlds() for name, _ in _banned(path)}
    assert not WORLD_ALLOWED.keys() - used, "no longer needed"


def _unseeded(path: Path) -> Iterator[tuple[str, int]]:
    """Generators without a seed, and `id` and `hash`."""
    yield from _banned(path)
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Call) and not node.args:
            name = ast.unparse(node.func)
            if name.rpartition(".")[2] == "Random":
                yield f"{name}()", node.lineno


def _banned(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(parsed(path)):
        is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        if is_call and node.func.id in BANNED_CALLS:
            yield f"{node.func.id}()", node.lineno


# -- the order of sets ---------------------------------------------------------------------------
def test_no_set_is_gone_through_in_its_own_order() -> None:
    """In nodes and in the simulator alike; what is seen of sets is told in `set_walks`."""
    walks = all_walks()
    wrong = [
        f"{name}:{line} {what}"
        for name, found in walks.items()
        for line, what in found
        if (name, what) not in ORDER_ALLOWED
    ]
    assert not wrong, "\n".join(wrong)


def test_walks_that_are_allowed_are_still_there() -> None:
    used = {(name, what) for name, found in all_walks().items() for _, what in found}
    assert not ORDER_ALLOWED.keys() - used, "no longer needed"


@cache
def all_walks() -> dict[str, list[tuple[int, str]]]:
    """By file."""
    paths = [*sources(), *sorted((ROOT / "sim").rglob("*.py"))]
    declared = Declared(parsed(path) for path in paths)
    return {_relative(path): set_walks(parsed(path), declared) for path in paths}


DECLARATIONS = """
class Thing:
    members: set[int]
    by_name: dict[str, set[int]]
    maybe: frozenset[int] | None = None
    both: list[int]
    def __init__(self, given: set[int]) -> None:
        self._own = set()
        self.seen: AbstractSet[int] = given
    def made(self) -> set[int]: ...
    @property
    def shown(self) -> frozenset[int]: ...
class Other:
    def __init__(self) -> None:
        self.both: set[int] = set()
"""


@pytest.mark.parametrize(
    "line",
    [
        "for x in a - b: f(x)",
        "for x in {1} | c: f(x)",
        "for x in d.keys() & e: f(x)",
        "for x in d.keys() - e.keys(): f(x)",
        "for x in thing.members: f(x)",
        "for x in thing._own ^ c: f(x)",
        "for x in thing.seen: f(x)",
        "for x in thing.maybe or (): f(x)",
        "for x in thing.made(): f(x)",
        "for x in thing.shown: f(x)",
        "for x in thing.by_name['k']: f(x)",
        "for x in thing.by_name.get('k', ()): f(x)",
        "for each in thing.by_name.values():\n        for x in each: f(x)",
        "for name, each in thing.by_name.items():\n        list(each)",
        "return [x for x in a]",
        "return {x: 1 for x in a}",
        "return f(x for x in a)",
        "return list(a.union(c))",
        "return [*a]",
        "f(*a)",
        "return ','.join(a)",
        "c.extend(a)",
        "return a.pop()",
        "return next(iter(a))",
        "x, y = a",
        "return max(a, key=len)",
        "return dict.fromkeys(a)",
        "yield from a",
        "z = a if c else b\n    for x in z: f(x)",
        "def inner():\n        for x in a: f(x)",
        "return sorted(f(list(a)))",
    ],
)
def test_a_walk_over_a_set_is_seen(line: str) -> None:
    assert walks_in(line), line


@pytest.mark.parametrize(
    "line",
    [
        "for x in sorted(a - b): f(x)",
        "return sorted(x for x in a)",
        "return max([0, *(f(x) for x in a)])",
        "return {x for x in a}",
        "return any(x in b for x in a)",
        "return sum(x for x in a) + max(a) + len(a - b)",
        "return c in a | b",
        "(x,) = a",
        "a.update(x for x in b)",
        "for x in d.keys(): f(x)",
        "for x in d: f(x)",
        "for x in c - 1: f(x)",
        "for x in thing.both: f(x)",
        "return d.pop()",
        "return {*a, *(x for x in b)}",
    ],
)
def test_what_does_not_show_the_order_of_a_set_is_let_be(line: str) -> None:
    assert not walks_in(line), line


def walks_in(line: str) -> list[tuple[int, str]]:
    head = "def walk(a: set[int], b: frozenset[int], c, d: dict[str, int], e, thing):\n    "
    tree = ast.parse(f"{DECLARATIONS}\n{head}{line}\n")
    return set_walks(tree, Declared([tree]))
