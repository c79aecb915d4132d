"""The password-authenticated key exchange behind short codes: SPAKE2 over Ed25519's group.

Both sides end with the same 32-byte key exactly when they used the same password *and* mean the
same two nodes; a side that guessed learns nothing but that its one guess was wrong. The library is
`spake2` (Brian Warner), as in magic-wormhole; this is its only user.

Source: Abdalla, Pointcheval, "Simple Password-Based Encrypted Key Exchange Protocols" (2005).
"""

from __future__ import annotations

from collections.abc import Callable

from spake2 import SPAKE2_A, SPAKE2_B, SPAKEError
from spake2.ed25519_basic import NotOnCurve

from mesh.types import NodeId
from mesh.wire.errors import WireError

SHARE_BYTES = 33
"""A side byte and a group element."""

_CONTEXT = b"vitte-mesh code v1\0"


class Pake:
    """One side of one exchange. `token` is the source of randomness (size in bytes -> bytes)."""

    def __init__(
        self,
        *,
        is_joiner: bool,
        password: bytes,
        joiner: NodeId,
        server: NodeId,
        token: Callable[[int], bytes],
    ) -> None:
        side = SPAKE2_A if is_joiner else SPAKE2_B
        self._side = side(_CONTEXT + password, idA=joiner, idB=server, entropy_f=token)
        self.share: bytes = self._side.start()
        """To be sent to the other side."""
        assert len(self.share) == SHARE_BYTES

    def finish(self, share: bytes) -> bytes:
        """The key, 32 bytes. Raises WireError for what is no share of the other side."""
        try:
            key = self._side.finish(share)
        except (SPAKEError, NotOnCurve, ValueError, AssertionError) as error:
            raise WireError("pake", type(error).__name__) from None
        assert isinstance(key, bytes)
        return key
