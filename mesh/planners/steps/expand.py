"""From [[step]] tables and the files that exist to the steps of a plan.

Rules
- Paths in the file are relative to its folder; in commands they come out relative to the step's
  `cwd`. Everything is mounted at PROJECT_MOUNT, so the same sources make the same actions in any
  folder of any machine.
- `foreach` makes one step per file, called `NAME:path`. `foreach = "{needs.NAME}"` goes over what
  that step makes, and each of the new steps needs only the one that made its file.
- A step reads: its `foreach` file, what its `needs` make, its `inputs`, the headers its `scan`
  finds. A step that names none of `foreach`, `inputs` and `needs` reads the whole project.
- A pattern never matches what a step makes, so that yesterday's products are no sources today.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping

import attrs

from mesh.action.model import PROJECT_MOUNT, OutputSpec
from mesh.errors import PathEscapes
from mesh.planners import cc, globs, shell
from mesh.planners.base import DepScan, Step
from mesh.planners.environment import step_env
from mesh.planners.steps.file import ProjectFile, StepTable
from mesh.planners.steps.template import (
    TemplateError,
    Values,
    in_path,
    in_shell,
    in_words,
    placeholders,
)
from mesh.planners.validate import needs_first

_OVER_NEEDS = "needs."


@attrs.frozen
class _Item:
    """What one expansion of a step is about: nothing, or a file and the step that makes it."""

    path: str = ""
    maker: str = ""


class Expander:
    """Expands all tables of one file; `files` are the project's, relative to the root."""

    def __init__(
        self, project: ProjectFile, files: tuple[str, ...], caller_env: Mapping[str, str]
    ) -> None:
        self._project = project
        self._all_files = files
        self._files = files
        self._caller_env = caller_env
        self._steps: dict[str, list[Step]] = {}
        self._envs: dict[tuple[str, ...], dict[str, str]] = {}
        self._over = {table.name: _over(table) for table in project.steps}
        self._needs = {
            table.name: tuple(dict.fromkeys([*table.needs, *self._over[table.name]]))
            for table in project.steps
        }
        """The tables that must be expanded first: `needs`, and those that `foreach` goes over."""

    def run(self) -> dict[str, list[Step]]:
        """Steps by table name. Raises ProjectFileError, PathEscapes, PlanCycle."""
        self._expand_all()
        # Only now is it known what is made, so only now can patterns leave it out.
        made = {output.path for step in self._flat() for output in step.outputs}
        if made:
            left = tuple(name for name in self._all_files if not _is_made(name, made))
            if left != self._files:
                self._files = left
                self._expand_all()
        self._add_needs_of_inputs()
        return self._steps

    def _flat(self) -> list[Step]:
        return [step for steps in self._steps.values() for step in steps]

    def _expand_all(self) -> None:
        tables = {table.name: table for table in self._project.steps}
        for table in tables.values():
            for name in self._over[table.name]:
                self._check_step(table, name, tables)
        self._steps = {}
        for name in needs_first(tuple(tables), self._needs.__getitem__):
            table = tables[name]
            self._steps[name] = [self._step(table, item) for item in self._items(table)]

    def _items(self, table: StepTable) -> list[_Item]:
        if not table.foreach:
            return [_Item()]
        items: dict[str, _Item] = {}
        for pattern in table.foreach:
            over = _over_needs(pattern)
            if over:
                made = self._made_by(over)
                items.update({path: _Item(path, maker) for path, maker in made.items()})
            else:
                found = self._match(table, "foreach", pattern)
                items.update({path: _Item(path) for path in found})
        return list(items.values())

    def _check_step(self, table: StepTable, name: str, known: Iterable[str]) -> None:
        if name not in known:
            shown = " or ".join(f'"{{needs.{other}}}"' for other in known if other != table.name)
            self._project.fail(table, "foreach", f"there is no step `{name}`", shown or "a pattern")

    def _made_by(self, name: str) -> dict[str, str]:
        return {
            _relative(output.path): step.name
            for step in self._steps[name]
            for output in step.outputs
        }

    def _match(self, table: StepTable, key: str, pattern: str) -> list[str]:
        """The files a pattern or a plain path stands for, relative to the root."""
        if not globs.is_pattern(pattern):
            path = self._normal(pattern)
            below = [name for name in self._files if name.startswith(path + "/")]
            return list(self._files) if path == "." else below or [path]
        found = globs.select(pattern.removeprefix("./"), self._files)
        if not found:
            self._project.fail(
                table, key, f"`{pattern}` matches no file", "a pattern such as src/**/*.c"
            )
        return found

    def _normal(self, path: str) -> str:
        normal = posixpath.normpath(path)
        if normal.startswith(("/", "../")) or normal == "..":
            raise PathEscapes(path=path, root=self._project.path.parent)
        return normal

    # -- one step ------------------------------------------------------------------------------
    def _step(self, table: StepTable, item: _Item) -> Step:
        needs = self._needed(table, item)
        name = f"{table.name}:{item.path}" if item.path else table.name
        cwd = self._normal(table.cwd)
        values = self._values(table, item, cwd, needs)
        outputs = self._outputs(table, values)
        made = tuple(_seen_from(cwd, _relative(each.path)) for each in outputs)
        argv = self._argv(table, {**values, "out": made})
        env = self._env(table, argv)
        return Step(
            name=name,
            argv=argv,
            cwd=_mounted(cwd),
            env=tuple(sorted({**env, **dict(table.env)}.items())),
            inputs=self._inputs(table, item, needs, {each.path for each in outputs}),
            needs=tuple(step.name for step in needs),
            outputs=outputs,
            tools=table.tools,
            scan=self._scan(table, argv, cwd) if table.scan else None,
            timeout_s=table.timeout_s,
            memory_bytes=table.memory_bytes,
            cacheable=table.cache and not table.local,
            local=table.local,
            display=f"{table.name} {item.path}".rstrip(),
        )

    def _env(self, table: StepTable, argv: tuple[str, ...]) -> dict[str, str]:
        """Looked up once per set of programs: most steps of a table run the same ones."""
        programs = (*(words[0] for words in shell.commands_of(argv)), *table.tools)
        known = self._envs.get(programs)
        if known is None:
            known = dict(step_env(programs, self._caller_env, self._project.env))
            self._envs[programs] = known
        return known

    def _needed(self, table: StepTable, item: _Item) -> list[Step]:
        found: dict[str, Step] = {}
        for name in self._needs[table.name]:
            for step in self._steps[name]:
                if not item.maker or name not in self._over[table.name] or step.name == item.maker:
                    found[step.name] = step
        return list(found.values())

    def _values(self, table: StepTable, item: _Item, cwd: str, needs: list[Step]) -> Values:
        values: dict[str, tuple[str, ...]] = {}
        if item.path:
            folder, name = posixpath.split(item.path)
            stem, extension = posixpath.splitext(name)
            values = {
                "in": (_seen_from(cwd, item.path),),
                "dir": (folder or ".",),
                "name": (name,),
                "stem": (stem,),
                "ext": (extension.removeprefix("."),),
                "rel": (item.path.removesuffix(extension),),
            }
        wanted = {step.name for step in needs}
        for name in self._needs[table.name]:
            values[_OVER_NEEDS + name] = tuple(
                _seen_from(cwd, _relative(output.path))
                for step in self._steps[name]
                if step.name in wanted
                for output in step.outputs
            )
        return values

    def _outputs(self, table: StepTable, values: Values) -> tuple[OutputSpec, ...]:
        found = []
        for template in table.out:
            try:
                path = in_path(template, values)
            except TemplateError as error:
                self._project.fail(table, "out", str(error), 'a path such as "build/{stem}.o"')
            found.append(OutputSpec(_mounted(self._normal(path)), directory=path.endswith("/")))
        return tuple(found)

    def _argv(self, table: StepTable, values: Values) -> tuple[str, ...]:
        try:
            if isinstance(table.run, str):
                return ("/bin/sh", "-c", in_shell(table.run, values))
            return tuple(word for element in table.run for word in in_words(element, values))
        except TemplateError as error:
            self._project.fail(table, "run", str(error), "a known placeholder, or {{ for a brace")

    def _inputs(
        self, table: StepTable, item: _Item, needs: list[Step], own: set[str]
    ) -> tuple[str, ...]:
        found: dict[str, None] = {}
        if item.path:
            found[_mounted(item.path)] = None
        for step in needs:
            found.update(dict.fromkeys(output.path for output in step.outputs))
        if table.inputs is None and not item.path and not self._needs[table.name]:
            found.update(dict.fromkeys(map(_mounted, self._files)))
        for pattern in table.inputs or ():
            matched = self._match(table, "inputs", pattern)
            found.update(dict.fromkeys(map(_mounted, matched)))
        return tuple(path for path in found if path not in own)

    def _scan(self, table: StepTable, argv: tuple[str, ...], cwd: str) -> DepScan:
        words = shell.simple(argv[2]) if isinstance(table.run, str) else argv
        call = cc.parse(words) if words is not None else None
        probe = cc.dependency_probe(call) if call is not None else None
        if call is None or probe is None:
            expected = "one plain compiler command with -c and one source, without shell syntax"
            self._project.fail(table, "scan", "this command cannot be scanned", expected)
        folders = [posixpath.normpath(posixpath.join(cwd, each)) for each in call.include_dirs]
        inner = [folder for folder in folders if not folder.startswith(("/", ".."))]
        source = posixpath.normpath(posixpath.join(cwd, call.sources[0]))
        return DepScan(probe, _mounted(source), tuple(_mounted(folder) for folder in inner))

    def _add_needs_of_inputs(self) -> None:
        """Whoever names a file that a step makes needs that step, without having to say so."""
        makers = {output.path: step.name for step in self._flat() for output in step.outputs}
        for name, steps in self._steps.items():
            self._steps[name] = [_with_makers(step, makers) for step in steps]


def _with_makers(step: Step, makers: Mapping[str, str]) -> Step:
    found = [makers[path] for path in step.inputs if path in makers]
    needs = tuple(dict.fromkeys([*step.needs, *found]))
    return step if needs == step.needs else attrs.evolve(step, needs=needs)


def _over(table: StepTable) -> tuple[str, ...]:
    return tuple(over for over in map(_over_needs, table.foreach) if over)


def _over_needs(pattern: str) -> str:
    """NAME when the whole pattern is `{needs.NAME}`."""
    names = placeholders(pattern)
    if len(names) != 1:
        return ""
    (name,) = names
    is_whole = pattern == "{" + name + "}" and name.startswith(_OVER_NEEDS)
    return name.removeprefix(_OVER_NEEDS) if is_whole else ""


def _mounted(path: str) -> str:
    return PROJECT_MOUNT if path == "." else f"{PROJECT_MOUNT}/{path}"


def _relative(path: str) -> str:
    """The inverse of `_mounted`; plain slicing, because relpath asks for the working directory."""
    return path[len(PROJECT_MOUNT) + 1 :] or "."


def _seen_from(cwd: str, path: str) -> str:
    """A normal path relative to the root as a command in `cwd` names it."""
    return path if cwd == "." else posixpath.relpath(path, cwd)


def _is_made(name: str, made: set[str]) -> bool:
    path = _mounted(name)
    while path != PROJECT_MOUNT:
        if path in made:
            return True
        path = posixpath.dirname(path)
    return False
