"""Names people read: what is allowed in one, how to make one, how clashes are told apart.

A name never identifies anything (a node id does). It is printed in terminals and put into
certificates, so it holds only letters, digits and `._-`: no spaces, no control characters, nothing
a terminal would obey.
"""

from __future__ import annotations

from collections.abc import Collection

from mesh.limits import NAME_BYTES_MAX
from mesh.wire.errors import WireError

_PUNCTUATION = "._-"


def is_name(name: str) -> bool:
    """Whether `name` may be the name of a node or a mesh."""
    return (
        0 < len(name.encode("utf-8", "surrogatepass")) <= NAME_BYTES_MAX
        and name[0].isalnum()
        and all(char.isalnum() or char in _PUNCTUATION for char in name)
    )


def check_name(name: str) -> str:
    """Return `name`. Raises WireError("name") when it is none."""
    if not is_name(name):
        raise WireError("name", ascii(name))
    return name


def clean_name(wished: str, fallback: str = "node") -> str:
    """The nearest allowed name: others' characters become `-`, the length is cut."""
    kept = "".join(c if c.isalnum() or c in _PUNCTUATION else "-" for c in wished)
    kept = _cut(kept.strip(_PUNCTUATION), NAME_BYTES_MAX).rstrip(_PUNCTUATION)
    return kept if is_name(kept) else fallback


def distinct(name: str, taken: Collection[str]) -> str:
    """`name`, or `name-2`, `name-3`... : the first whose folded form is not in `taken`."""
    if name.casefold() not in taken:
        return name
    for count in range(2, len(taken) + 3):
        suffix = f"-{count}"
        other = _cut(name, NAME_BYTES_MAX - len(suffix)) + suffix
        if other.casefold() not in taken:
            return other
    raise AssertionError("more candidates than taken names: one must be free")


def _cut(name: str, max_bytes: int) -> str:
    return name.encode("utf-8", "replace")[:max_bytes].decode("utf-8", "ignore")
