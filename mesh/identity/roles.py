"""What a member may do. Four roles, one table.

A role is granted by an admission record and can only be raised by another; lowering means removing
the member and admitting it anew. There are no per-member permissions on purpose.
"""

from __future__ import annotations

from enum import IntEnum

from mesh.errors import NotAllowed

SUBMIT, BUILD, ADMIT, VIEW = "submit runs", "build", "admit nodes", "view"
"""What can be asked of `may`: words that read well in an error message."""


class Role(IntEnum):
    """Ordered: a higher role may do all that a lower one may. The numbers are on the wire."""

    LEAF = 0
    """A microcontroller behind a gateway: it is told what to do, and asks for nothing."""
    VIEWER = 1
    BUILDER = 2
    ADMIN = 3

    @property
    def label(self) -> str:
        return self.name.lower()


_LOWEST_THAT_MAY = {
    VIEW: Role.VIEWER,
    SUBMIT: Role.BUILDER,
    BUILD: Role.BUILDER,
    ADMIT: Role.ADMIN,
}


def may(role: Role, what: str) -> bool:
    """Whether `role` may do `what` (one of SUBMIT, BUILD, ADMIT, VIEW)."""
    return role >= _LOWEST_THAT_MAY[what]


def role_of(label: str) -> Role:
    """The role called `label`, in any case. Raises NotAllowed when there is none."""
    try:
        return Role[label.upper()]
    except KeyError:
        known = ", ".join(role.label for role in reversed(Role))
        raise NotAllowed(role=label, what=f"exist; the roles are {known}") from None
