"""From a request's bytes to an operation, and from any exception to an ErrorView. No I/O."""

from __future__ import annotations

import json
from typing import Any

from mesh.control.ops import check_request
from mesh.control.views import ErrorView
from mesh.errors import BadRequest, Bug, MeshError


def parse_request(line: bytes) -> tuple[str, dict[str, Any]]:
    """The operation and its complete parameters. Raises BadRequest, whatever the bytes."""
    try:
        request = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadRequest(why=f"not JSON: {error}") from None
    return check_request(request)


def error_view(error: MeshError) -> ErrorView:
    """How an error travels; parameters that are not JSON become text."""
    return {
        "code": error.code,
        "params": {name: _plain(value) for name, value in error.params.items()},
        "message": error.message(),
        "hint": error.next_step(),
        "exit_code": error.exit_code,
        "blame": error.blame,
    }


def to_mesh_error(error: BaseException) -> MeshError:
    """The MeshError itself, or the first one of a group that holds nothing else, or a Bug."""
    if isinstance(error, MeshError):
        return error
    leaves = _leaves(error)
    if leaves and all(isinstance(leaf, MeshError) for leaf in leaves):
        first = leaves[0]
        assert isinstance(first, MeshError)
        return first
    first = leaves[0] if leaves else error
    return Bug(what=f"{type(first).__name__}: {first}")


def _leaves(error: BaseException) -> list[BaseException]:
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for inner in error.exceptions for leaf in _leaves(inner)]


def _plain(value: object) -> object:
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)
