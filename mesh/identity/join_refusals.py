"""Refusals at the join door: our error classes, carried over the wire and made whole again.

What comes from the door is text by a stranger: only known codes become errors, and values lose
whatever a terminal would obey.
"""

from __future__ import annotations

from string import Formatter

from mesh import errors
from mesh.errors import MeshError
from mesh.identity.messages import RefusalParam, Refused

_CLASSES: dict[str, type[MeshError]] = {
    cls.code: cls
    for cls in (
        errors.TokenExpired,
        errors.TokenUsedUp,
        errors.TokenForged,
        errors.TokenSpent,
        errors.WrongMesh,
        errors.CodeRefused,
        errors.CodeUnknown,
        errors.NotAMember,
        errors.NotAllowed,
        errors.ApprovalDenied,
        errors.ApprovalTimedOut,
        errors.JoinFailed,
    )
}
_VALUE_CHARS_MAX = 200


def refusal(error: MeshError) -> Refused:
    """What to send the joiner for `error`; anything that is not for its eyes is JoinFailed."""
    if error.code not in _CLASSES:
        error = errors.JoinFailed(address="", why="the member had a problem of its own")
    params = tuple(
        RefusalParam(name, _printable(str(value))) for name, value in error.params.items()
    )
    return Refused(error.code, params)


def refusal_error(refused: Refused, address: str) -> MeshError:
    """The error that the door meant. `address` is where we asked; it cannot say that itself."""
    cls = _CLASSES.get(refused.code)
    if cls is None:
        why = f"it refused for a reason unknown here ({_printable(refused.code)})"
        return errors.JoinFailed(address=address, why=why)
    given = {param.name: _printable(param.value) for param in refused.params}
    given["address"] = address
    texts = (cls.template(), cls.hint)
    needed = {name for text in texts for _, name, _, _ in Formatter().parse(text) if name}
    return cls(**{name: given.get(name, "?") for name in needed})


def _printable(value: str) -> str:
    return "".join(char for char in value if char.isprintable())[:_VALUE_CHARS_MAX]
