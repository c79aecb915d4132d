"""Signing what we say, and checking what others said, each statement once.

Verification is the expensive part of membership (95 us on a small machine), therefore: its results
are remembered by the hash of what was checked, good ones and bad ones, in a bounded table; and
callers ask only about statements that would change something.
Deliberately not here: keys (`Signatures` has them), and who may say what.
"""

from __future__ import annotations

from hashlib import sha256

from mesh.limits import SWIM_VERIFIED_MAX
from mesh.swim.evidence import Signatures
from mesh.swim.messages import SIGNATURE_BYTES, Statement
from mesh.swim.records import Body, body_of
from mesh.types import NodeId


class Voice:
    """One node's mouth and ear. `signed=False` (an experiment's switch) believes everything."""

    def __init__(self, signatures: Signatures, *, signed: bool) -> None:
        self._signatures = signatures
        self._signed = signed
        self._verified: dict[bytes, bool] = {}
        self.checked = 0
        """Signatures really verified: the CPU time that others have made us spend."""

    def say(self, said: Body) -> Statement:
        """Sign it."""
        body = body_of(said)
        if not self._signed:
            return Statement(body, bytes(SIGNATURE_BYTES), "")
        return Statement(body, self._signatures.sign_statement(body), "")

    def genuine(self, author: NodeId, statement: Statement) -> bool:
        """Whether `author` signed it."""
        if not self._signed:
            return True
        key = sha256(author + statement.signature + statement.body).digest()
        known = self._verified.get(key)
        if known is None:
            self.checked += 1
            known = self._signatures.verify_statement(author, statement.body, statement.signature)
            if len(self._verified) >= SWIM_VERIFIED_MAX:
                del self._verified[next(iter(self._verified))]
            self._verified[key] = known
        return known
