"""Rule files to a signed program for one leaf, and what is remembered of it.

The authority of a leaf is the node that admitted it: its key went into the leaf when it was
provisioned. So only that node can sign for it; any member can carry what was signed. The counter of
each program is above all that were signed here before, and written down before the program leaves.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from typing import Any

import attrs

from mesh.errors import BadRequest, NotItsAuthority, RuleFileWrong, TooManyRules
from mesh.identity.fold import Member
from mesh.identity.trust import MeshIdentity
from mesh.limits import LEAF_SOURCE_BYTES_MAX
from mesh.ports import Disk
from mesh.rules.boards import has_anywhere, has_on
from mesh.rules.compile import Compiled, compile_rules
from mesh.rules.isa import RULES_MAX
from mesh.rules.program import COUNTER_MAX, TARGET_ID_BYTES, BoardKind, OneLeaf
from mesh.rules.signed import sign_program
from mesh.rules.source import SourceError
from mesh.types import NodeId

COUNTERS_FILE = "leaf/counters.json"
NAMES_FOLDER = "leaf/programs"


@attrs.frozen
class Rules:
    """Rule files, as one program is made of them."""

    names: Sequence[str]
    sources: Sequence[str]


@attrs.frozen
class Signed:
    package: bytes
    counter: int
    rule_names: tuple[str, ...]


def compile_files(rules: Rules, leaf: NodeId, board: int, counter: int) -> Compiled:
    """Raises RuleFileWrong, TooManyRules, BadRequest."""
    if not rules.sources or len(rules.names) != len(rules.sources):
        raise BadRequest(why="a deploy needs rule files, each with a name and a text")
    if sum(map(len, rules.sources)) > LEAF_SOURCE_BYTES_MAX:
        raise BadRequest(why=f"rule files of more than {LEAF_SOURCE_BYTES_MAX} bytes")
    text = "\n".join(source.rstrip("\n") for source in rules.sources) + "\n"
    _count_rules(text)
    kinds = {each.value for each in BoardKind}
    has = has_on(BoardKind(board)) if board in kinds else has_anywhere
    try:
        return compile_rules(text, has, OneLeaf(leaf[:TARGET_ID_BYTES]), counter)
    except SourceError as error:
        raise RuleFileWrong(
            where=_where(rules, error.place.line, error.place.column),
            why=f"{error.text}\n{error.excerpt(text)}",
            hint=error.hint,
        ) from None


def _count_rules(text: str) -> None:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return  # the compiler says what is wrong, and where
    count = sum(isinstance(node, ast.FunctionDef) for node in tree.body)
    if count > RULES_MAX:
        raise TooManyRules(count=count, most=RULES_MAX)


def _where(rules: Rules, line: int, column: int) -> str:
    """The file and line for a line of all files together."""
    for name, source in zip(rules.names, rules.sources, strict=True):
        count = source.rstrip("\n").count("\n") + 1
        if line <= count:
            return f"{name}:{line}:{column + 1}"
        line -= count
    return f"{rules.names[-1]}:{line}:{column + 1}"


class Signer:
    """Signs for the leaves that this node admitted."""

    def __init__(self, identity: MeshIdentity, disk: Disk) -> None:
        self._identity = identity
        self._disk = disk

    def sign(
        self, member: Member, rules: Rules, board: int, above: int, counter: int | None
    ) -> Signed:
        """A program for that leaf, with a counter above `above` and above all earlier ones unless
        one is given. Raises NotItsAuthority, RuleFileWrong, TooManyRules, StoreFull."""
        if member.admitted_by != self._identity.node_id:
            authority = self._identity.member(member.admitted_by)
            name = authority.name if authority is not None else member.admitted_by.hex()[:8]
            raise NotItsAuthority(name=member.name, authority=name)
        counters = self._counters()
        leaf = member.node_id
        chosen = 1 + max(above, counters.get(leaf.hex(), 0)) if counter is None else counter
        if not 0 < chosen <= COUNTER_MAX:
            raise BadRequest(why=f"a counter is from 1 to {COUNTER_MAX}")
        compiled = compile_files(rules, leaf, board, chosen)
        counters[leaf.hex()] = max(chosen, counters.get(leaf.hex(), 0))
        self._disk.write(COUNTERS_FILE, json.dumps(counters, indent=1).encode())
        package = sign_program(compiled.program, self._identity.mesh_id, self._identity.key.sign)
        names = {
            "counter": chosen,
            "rules": compiled.rule_names,
            "slots": compiled.slot_names,
        }
        self._disk.write(f"{NAMES_FOLDER}/{leaf.hex()}.json", json.dumps(names).encode())
        return Signed(package, chosen, compiled.rule_names)

    def names(self, leaf: NodeId, counter: int) -> tuple[list[str], list[list[str]]]:
        """What people called the rules and slots of that program; empty when it is not known."""
        known = self._read(f"{NAMES_FOLDER}/{leaf.hex()}.json")
        if known.get("counter") != counter:
            return [], []
        return known["rules"], known["slots"]

    def _counters(self) -> dict[str, int]:
        counters = self._read(COUNTERS_FILE)
        return {leaf: count for leaf, count in counters.items() if type(count) is int}

    def _read(self, name: str) -> dict[str, Any]:
        try:
            found = json.loads(self._disk.read(name) or b"{}")
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}
