"""A reader and checker of the part of CDDL (RFC 8610) that our files use: numbers, ranges,
`int uint bstr tstr null`, `.size .le .ge .cbor`, arrays with occurrences, choices, groups,
`&( )`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mesh.wire import cbor
from mesh.wire.errors import WireError

FIRMWARE = Path(__file__).resolve().parents[2] / "firmware"
_TOKEN = re.compile(r"\s*(-?\d+\*\d+|\d+\*|\*|-?\d+|[A-Za-z][\w-]*|\.\.|\.\w+|[\[\]()/=&,:])")
Node = tuple[Any, ...]


class Schema:
    """The rules of a file: `matches(rule, item)`."""

    def __init__(self, text: str) -> None:
        text = re.sub(r";.*", "", text)
        self._tokens, at = [], 0
        while text[at:].strip():
            found = _TOKEN.match(text, at)
            assert found, f"not understood: {text[at : at + 30]!r}"
            self._tokens.append(found[1])
            at = found.end()
        self.rules: dict[str, Node] = {}
        while self._tokens:
            name = self._next()
            self._expect("=")
            self.rules[name] = self._type()

    def _next(self) -> str:
        return self._tokens.pop(0)

    def _peek(self, ahead: int = 0) -> str:
        return self._tokens[ahead] if ahead < len(self._tokens) else ""

    def _expect(self, token: str) -> None:
        got = self._next()
        assert got == token, f"{token} expected, not {got}"

    # -- reading ---------------------------------------------------------------------------------
    def _type(self) -> Node:
        choices = [self._restricted()]
        while self._peek() == "/":
            self._next()
            choices.append(self._restricted())
        return choices[0] if len(choices) == 1 else ("choice", choices)

    def _restricted(self) -> Node:
        node = self._primary()
        while self._peek().startswith("."):
            operator = self._next()
            node = (operator, node, self._primary())
        return node

    def _primary(self) -> Node:
        token = self._next()
        if re.fullmatch(r"-?\d+", token):
            return ("value", int(token))
        if token == "[":
            return ("array", self._group("]"))
        if token == "&":
            self._expect("(")
            return ("choice", [kind for _, kind in self._group(")")])
        if token == "(":
            inside = self._group(")")
            return inside[0][1] if len(inside) == 1 else ("group", inside)
        return ("name", token)

    def _group(self, end: str) -> list[tuple[tuple[int, int], Node]]:
        entries = []
        while self._peek() != end:
            occurs = (1, 1)
            if "*" in self._peek():
                low, high = self._next().split("*")
                occurs = (int(low or 0), int(high or 1 << 30))
            if self._peek(1) == ":":
                self._next(), self._next()
            entries.append((occurs, self._type()))
            if self._peek() == ",":
                self._next()
        self._next()
        return entries

    # -- checking --------------------------------------------------------------------------------
    def matches(self, rule: str, item: object) -> bool:
        return self._fits(self.rules[rule], item)

    def matches_group(self, rule: str, items: list[object]) -> bool:
        """Whether the items of an array are those of a group rule."""
        return self._fits_all(self.rules[rule][1], items)

    def _fits(self, node: Node, item: object) -> bool:
        kind = node[0]
        if kind == "value":
            return type(item) is int and item == node[1]
        if kind == "choice":
            return any(self._fits(each, item) for each in node[1])
        if kind == "array":
            return type(item) is list and self._fits_all(node[1], item)
        if kind == "name":
            return self._named(node[1], item)
        return self._controlled(node, item)

    def _named(self, name: str, item: object) -> bool:
        if name in self.rules:
            return self._fits(self.rules[name], item)
        if name in ("argument", "result"):  # depend on the request
            return True
        if name == "null":
            return item is None
        if name == "bstr":
            return type(item) is bytes
        if name == "tstr":
            return type(item) is str
        assert name in ("int", "uint"), name
        return type(item) is int and (name == "int" or item >= 0)

    def _controlled(self, node: Node, item: object) -> bool:
        operator, inner, bound = node
        if operator == "..":
            return type(item) is int and inner[1] <= item <= bound[1]
        if not self._fits(inner, item):
            return False
        if operator == ".size":
            assert isinstance(item, bytes | str)
            return self._fits(bound, len(item.encode() if isinstance(item, str) else item))
        if operator == ".cbor":
            assert isinstance(item, bytes)
            return self._fits_decoded(bound, item)
        assert isinstance(item, int)
        return item <= bound[1] if operator == ".le" else item >= bound[1]

    def _fits_decoded(self, node: Node, data: bytes) -> bool:
        try:
            return self._fits(node, cbor.decode(data))
        except WireError:
            return False

    def _fits_all(self, entries: list[tuple[tuple[int, int], Node]], items: list[object]) -> bool:
        """Greedy is right here: nothing that may be repeated is followed by its like."""
        at = 0
        for (low, high), kind in entries:
            count = 0
            while at < len(items) and count < high and self._fits(kind, items[at]):
                at, count = at + 1, count + 1
            if count < low:
                return False
        return at == len(items)


def schema(name: str) -> Schema:
    return Schema((FIRMWARE / name).read_text())
