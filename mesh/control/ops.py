"""Every operation of the control socket: its parameters, their types and their defaults.

The server checks a request against this table before a handler sees it, so that handlers may index
`params` without a second look. A parameter without a default is required; None as a default makes
it optional. Unknown names are refused: they mean that the two sides are of different versions.

This module imports nothing but errors and typing. What each operation answers is in `views`.
"""

from __future__ import annotations

from typing import Any

from mesh.errors import BadRequest

REQUIRED: Any = object()

Spec = dict[str, tuple[str, Any]]

_RUN: Spec = {
    "cwd": ("text", REQUIRED),
    "kind": ("text", REQUIRED),  # build, test, bench, command
    "argv": ("texts", ()),
    "targets": ("texts", ()),
    "outputs": ("texts", ()),
    "mode": ("text", "hybrid"),  # local, cluster, hybrid
    "jobs": ("integer", None),  # at most so many shards at once; null: as many as there are slots
    "keep_going": ("flag", False),
    "use_cache": ("flag", True),
    "timeout_s": ("number", None),
    "env": ("environment", {}),
    "live": ("flag", False),
    "phases": ("flag", True),  # tell what becomes of each shard
}

OPS: dict[str, Spec] = {
    "ping": {},
    "init": {"mesh_name": ("text", REQUIRED), "node_name": ("text", None)},
    "join": {
        "how": ("text", REQUIRED),  # token, code, approval
        "token": ("text", None),
        "code": ("text", None),
        "hosts": ("texts", ()),  # HOST or HOST:PORT of members' join doors
        "name": ("text", None),
    },
    "invite": {
        "uses": ("integer", 1),
        "for_s": ("number", 600.0),
        "role": ("text", "builder"),
    },
    "invite_code": {
        "for_s": ("number", 600.0),
        "role": ("text", "builder"),
        "language": ("text", "en"),
    },
    "admit": {
        "list": ("flag", False),
        "name": ("text", None),
        "role": ("text", "builder"),
        "deny": ("flag", False),
    },
    "leave": {},
    "revoke": {
        "node": ("text", REQUIRED),
        "reason": ("text", ""),
        "after_unix_s": ("number", None),  # cut its log there; null: keep all that is known
    },
    "policy": {
        "trust": ("text", None),  # own, any, or how many builders must agree; null: as it is
        "copies": ("integer", None),
    },
    "members": {},
    "why": {"node": ("text", REQUIRED)},  # a name, or the start of a node id
    "status": {},
    "connect": {"host": ("text", REQUIRED)},  # HOST or HOST:PORT
    "run": _RUN,
    "runs": {},
    "logs": {"run": ("text", None), "follow": ("flag", False)},
    "explain": {"run": ("text", None), "shard": ("text", None)},
    "cancel": {"run": ("text", REQUIRED)},
    "leaf_provision": {
        "port": ("text", REQUIRED),  # a device, tcp:HOST:PORT, unix:PATH
        "baud": ("integer", 115_200),
        "name": ("text", None),
    },
    "leaf_attach": {
        "port": ("text", REQUIRED),
        "baud": ("integer", 115_200),
        "answer": ("texts", ()),  # command that answers the questions of rules
    },
    "leaf_detach": {"port": ("text", REQUIRED)},
    "leaf_remove": {"leaf": ("text", REQUIRED)},
    "leaf_list": {},
    "leaf_show": {"leaf": ("text", REQUIRED)},  # a name, or the start of an id
    "leaf_deploy": {
        "leaf": ("text", REQUIRED),
        "names": ("texts", ()),  # of the rule files
        "sources": ("texts", ()),  # their text, in the same order
        "package": ("text", None),  # or a signed program, base64
        "counter": ("integer", None),
        "sign_only": ("flag", False),
    },
    "leaf_logs": {
        "leaf": ("text", REQUIRED),
        "follow": ("flag", False),
        "last": ("integer", 1000),  # so many of the events there are already
    },
    "cache_stats": {},
    "cache_ls": {"pinned": ("flag", False), "limit": ("integer", 1000)},
    "cache_get": {"blob": ("text", REQUIRED), "path": ("text", REQUIRED)},  # absolute; a new file
    "cache_put": {"path": ("text", REQUIRED), "pin": ("text", None)},  # the label of a pin
    "cache_pin": {
        "blob": ("text", REQUIRED),
        "label": ("text", ""),
        "remove": ("flag", False),
    },
    "cache_gc": {"keep_bytes": ("integer", None)},  # null: the node's own bound
    "cache_verify": {},
    "cache_taint": {
        "node": ("text", None),
        "after_unix_s": ("number", None),  # withdraw what it wrote from there on, too
    },
    "doctor": {},
    "stop": {},
}
"""`run` in logs, explain and cancel: a run id or the start of one; null or "last": the newest.
`shard` in explain: a name, a part of one that is unambiguous, or an index."""

STREAMING_OPS = frozenset(
    {"join", "invite_code", "run", "logs", "leaf_provision", "leaf_attach"}
    | {"leaf_deploy", "leaf_logs", "cache_verify"}
)
"""Those that send events, and that end when the client closes (or half-closes) its connection."""


def _is_texts(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)


def _is_environment(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())


_CHECKS = {
    "text": lambda value: isinstance(value, str),
    "flag": lambda value: isinstance(value, bool),
    "integer": lambda value: type(value) is int,
    "number": lambda value: type(value) in (int, float),
    "texts": _is_texts,
    "environment": _is_environment,
}


def check_request(request: object) -> tuple[str, dict[str, Any]]:
    """Split a request into its operation and its complete parameters. Raises BadRequest."""
    if not isinstance(request, dict) or not isinstance(request.get("op"), str):
        raise BadRequest(why='a request is an object with a text "op"')
    op: str = request["op"]
    spec = OPS.get(op)
    if spec is None:
        raise BadRequest(why=f"there is no operation `{op}`")
    given = {name: value for name, value in request.items() if name != "op"}
    unknown = sorted(given.keys() - spec.keys())
    if unknown:
        raise BadRequest(why=f"`{op}` has no parameter `{unknown[0]}`")
    return op, {name: _value(op, name, spec[name], given) for name in spec}


def _value(op: str, name: str, how: tuple[str, Any], given: dict[str, Any]) -> Any:
    kind, default = how
    value = given.get(name, default)
    if value is REQUIRED:
        raise BadRequest(why=f"`{op}` needs `{name}`")
    if value is None and default is None:
        return None
    if not _CHECKS[kind](value):
        raise BadRequest(why=f"`{name}` of `{op}` must be {kind}")
    return value
