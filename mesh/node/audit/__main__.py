"""`python -P -m mesh.node.audit NAME REQUEST`: one answer as one line of JSON, on stdout.

    {"ok": view} or {"error": ...}, as on a node's control socket

People use `vitte audit`, which starts this because a thin client must not load what it takes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mesh.control.requests import error_view
from mesh.errors import MeshError
from mesh.node.audit.answers import export_view, log_view, lost_view, verify_view
from mesh.node.audit.book import Book, read_file, read_home


def answer(name: str, request: Mapping[str, Any]) -> Mapping[str, Any]:
    """`request`: home, file (to read instead of the home), node, limit, out. Raises MeshError."""
    home = Path(request["home"])
    file = request.get("file")
    book = read_home(home) if file is None else read_file(Path(file), home)
    node = request.get("node")
    mine: Book = book if node is None else book.of(book.find(node))
    match name:
        case "verify":
            return verify_view(mine)
        case "log":
            return log_view(mine, request["limit"])
        case "lost":
            return lost_view(mine)
    assert name == "export", name
    return export_view(mine, Path(request["out"]))


def main(argv: list[str]) -> int:
    try:
        line: dict[str, Any] = {"ok": answer(argv[0], json.loads(argv[1]))}
    except MeshError as error:
        line = {"error": error_view(error)}
    sys.stdout.write(json.dumps(line) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
