"""The `vitte` planner: packages and workspaces of the Vitte language.

A workspace is a vitte-workspace.json at or above the caller's folder, with its members; a package
alone is a vitte-package.json. Every binary package becomes a step `vitte-bootstrap build ENTRY -o
OUT`, every library a step `vitte-bootstrap check ENTRY`, every test file a step `vitte-bootstrap
run FILE`. A package needs the steps of the workspace packages it depends on.

Rules
- The compiler is `VITTE_BOOTSTRAP` of the caller's environment, else `vitte-bootstrap` on PATH;
  without it: ToolNotFound, with how to point to it.
- What a step reads: all `.vit` and `.vitl` files and the manifest of its package and of those it
  depends on (of all of them, at any depth), and the workspace's own files.
- The compiler makes C and calls a C compiler, so `cc` is part of the toolchain where there is one.

Deliberately not here: dependencies from a registry. They are resolved by the language's own driver
into the workspace; one that is not a member is left to the compiler.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from pathlib import Path

import attrs

from mesh.action.model import PROJECT_MOUNT, OutputSpec
from mesh.errors import PathEscapes, ToolNotFound, UnknownTarget
from mesh.planners import globs, jsonlines
from mesh.planners.base import Kind, Mount, NotMine, Plan, PlanRequest, Step, counted
from mesh.planners.environment import find_program, step_env
from mesh.planners.jsonlines import Document
from mesh.planners.steps.planner import find_above, nearest
from mesh.planners.validate import needs_first

WORKSPACE_FILE = "vitte-workspace.json"
PACKAGE_FILE = "vitte-package.json"
LOCK_FILE = "vitte.lock"
OUT_DIR = "build/vitte"
_WORKSPACE_SCHEMA = "vitte.workspace.v1"
_PACKAGE_SCHEMA = "vitte.package.manifest.v1"
_SOURCES = (".vit", ".vitl")
_HOW = (
    "install the Vitte bootstrap compiler, or point to it: "
    "export VITTE_BOOTSTRAP=/path/to/vitte-bootstrap"
)


@attrs.frozen
class Package:
    """A member, paths relative to the workspace's root."""

    name: str
    folder: str
    kind: str
    entry: str
    tests: tuple[str, ...]
    depends_on: tuple[str, ...]
    """Names of workspace packages."""


class VittePlanner:
    """See the module's head."""

    name = "vitte"

    def plan(self, request: PlanRequest) -> Plan | NotMine:
        """Raises ProjectFileError, ToolNotFound, UnknownTarget, PathEscapes, PlanCycle."""
        found = _find(request.cwd.resolve())
        if found is None:
            return NotMine(f"{WORKSPACE_FILE} or {PACKAGE_FILE} here or above")
        if request.kind is Kind.BENCH:
            return NotMine(f"benchmarks (Vitte packages have none; {found.name} was found)")
        packages = read_packages(found)
        maker = _StepMaker(found.parent, packages, _compiler(request.env), request.env)
        steps = maker.make(request.kind, _chosen(packages, request.targets))
        return Plan(
            planner=self.name,
            root=found.parent,
            mounts=(Mount(found.parent),),
            steps=steps,
            explanation=f"{counted(len(steps), 'step')} of "
            f"{counted(len(packages), 'Vitte package')} in `{found}`",
        )


def _find(start: Path) -> Path | None:
    """The workspace above the caller, or the package where there is no workspace."""
    return find_above(start, WORKSPACE_FILE) or find_above(start, PACKAGE_FILE)


def read_packages(path: Path) -> dict[str, Package]:
    """The packages of a workspace or of a single package's manifest, by name, dependencies first.

    Raises ProjectFileError, PathEscapes, PlanCycle.
    """
    document = jsonlines.read(path)
    if path.name == PACKAGE_FILE:
        packages = {"": _package(document, "", None)}
    else:
        packages = _members(document)
    by_name = {package.name: package for package in packages.values()}
    return {
        name: by_name[name]
        for name in needs_first(tuple(by_name), lambda name: by_name[name].depends_on)
    }


def _members(workspace: Document) -> dict[str, Package]:
    _check_schema(workspace, _WORKSPACE_SCHEMA)
    root = workspace.path.parent
    documents: dict[str, Document] = {}
    for index, member in enumerate(workspace.texts(("members",))):
        folder = _normal(member, "", root)
        path = root / folder / PACKAGE_FILE
        if not path.is_file():
            workspace.fail(
                ("members", index), f"`{member}` has no {PACKAGE_FILE}", "the folder of a package"
            )
        documents[folder] = jsonlines.read(path)
    names: set[str] = set()
    for document in documents.values():
        name = document.text(("name",))
        if name in names:
            document.fail(("name",), f"`{name}` is the name of two packages", "another name")
        names.add(name)
    return {folder: _package(each, folder, names) for folder, each in documents.items()}


def _package(document: Document, folder: str, members: set[str] | None) -> Package:
    """`members` are the names of the workspace's packages; None outside a workspace."""
    _check_schema(document, _PACKAGE_SCHEMA)
    root = document.path.parent
    kind = document.text(("kind",), "binary")
    if kind not in {"binary", "library"}:
        document.fail(("kind",), f"unknown kind `{kind}`", '"binary" or "library"')
    tests = [_normal(test, folder, root) for test in document.texts(("tests",))]
    return Package(
        name=document.text(("name",)),
        folder=folder or ".",
        kind=kind,
        entry=_normal(document.text(("entry",)), folder, root),
        tests=tuple(dict.fromkeys(tests)),
        depends_on=tuple(_workspace_dependencies(document, members)),
    )


def _workspace_dependencies(document: Document, members: set[str] | None) -> list[str]:
    found = []
    for name in document.table(("dependencies",)):
        key = ("dependencies", name)
        if document.table(key).get("source") != "workspace":
            continue
        if members is None or name not in members:
            near = nearest(name, members or ()) or "the name of a member of the workspace"
            document.fail(key, f"`{name}` is no member of a workspace", near)
        found.append(name)
    return found


def _check_schema(document: Document, schema: str) -> None:
    found = document.text(("schema",))
    if found != schema:
        document.fail(("schema",), f"the schema is `{found}`", f'"{schema}"')


def _normal(path: str, folder: str, root: Path) -> str:
    """A manifest's path, relative to the workspace's root."""
    normal = posixpath.normpath(posixpath.join(folder, path))
    if normal.startswith(("/", "../")) or normal == ".." or path.startswith("/"):
        raise PathEscapes(path=path, root=root)
    return normal


def _compiler(env: Mapping[str, str]) -> str:
    """Absolute path of the compiler. Raises ToolNotFound."""
    named = env.get("VITTE_BOOTSTRAP", "")
    name = named or "vitte-bootstrap"
    found = find_program(name, env.get("PATH", ""))
    if found is None or not found.startswith("/"):
        raise ToolNotFound(tool=name, how=_HOW)
    return found


def _chosen(packages: Mapping[str, Package], targets: tuple[str, ...]) -> list[Package]:
    for target in targets:
        if target not in packages:
            raise UnknownTarget(name=target, near=nearest(target, packages))
    return [each for each in packages.values() if not targets or each.name in targets]


class _StepMaker:
    def __init__(
        self, root: Path, packages: dict[str, Package], compiler: str, env: Mapping[str, str]
    ) -> None:
        self._root = root
        self._packages = packages
        self._compiler = compiler
        self._files = globs.project_files(root)
        has_cc = find_program("cc", env.get("PATH", "")) is not None
        self._tools = ("cc",) if has_cc else ()
        self._env = step_env((compiler, *self._tools), env)

    def make(self, kind: Kind, chosen: list[Package]) -> tuple[Step, ...]:
        """Build steps of the packages and what they depend on, and tests when asked for."""
        wanted = {name for package in chosen for name in self._closure(package)}
        steps = [self._build(self._packages[name]) for name in self._packages if name in wanted]
        if kind is Kind.TEST:
            steps += [self._test(package, test) for package in chosen for test in package.tests]
        return tuple(steps)

    def _build(self, package: Package) -> Step:
        entry = package.entry
        if package.kind == "library":
            return self._step(package, package.name, ("check", entry), entry)
        out = f"{OUT_DIR}/{package.name}"
        words = ("build", entry, "-o", out)
        step = self._step(package, package.name, words, entry)
        return attrs.evolve(step, outputs=(OutputSpec(f"{PROJECT_MOUNT}/{out}"),))

    def _test(self, package: Package, test: str) -> Step:
        name = f"{package.name}:{test}"
        step = self._step(package, name, ("run", test), test)
        return attrs.evolve(step, needs=(package.name,))

    def _step(self, package: Package, name: str, words: tuple[str, ...], source: str) -> Step:
        inputs = dict.fromkeys([source, *self._sources(package)])
        return Step(
            name=name,
            argv=(self._compiler, *words),
            cwd=PROJECT_MOUNT,
            env=self._env,
            inputs=tuple(f"{PROJECT_MOUNT}/{path}" for path in inputs),
            needs=package.depends_on,
            tools=self._tools,
            display=f"vitte {words[0]} {source}",
        )

    def _sources(self, package: Package) -> list[str]:
        folders = [self._packages[name].folder for name in self._closure(package)]
        wanted = {WORKSPACE_FILE, LOCK_FILE}
        return [
            path
            for path in self._files
            if path in wanted or any(_belongs(path, folder) for folder in folders)
        ]

    def _closure(self, package: Package) -> list[str]:
        """The package and all it depends on."""
        found = {package.name: None}
        pending = list(package.depends_on)
        while pending:
            name = pending.pop()
            if name not in found:
                found[name] = None
                pending += self._packages[name].depends_on
        return list(found)


def _belongs(path: str, folder: str) -> bool:
    """Whether a file is a source or the manifest of the package in `folder`."""
    inner = folder == "." or path.startswith(folder + "/")
    return inner and (path.endswith(_SOURCES) or posixpath.basename(path) == PACKAGE_FILE)
