"""Members without a roster: trust stores that trust whom they are told to."""

from __future__ import annotations

from mesh.identity.certificates import certificate_pem, make_certificate, private_key_pem
from mesh.identity.keys import NodeKey
from mesh.types import NodeId


class Member:
    """A trust store that trusts whom it is told to."""

    def __init__(self, name: str) -> None:
        self.key = NodeKey(name.encode().ljust(32, b"."))
        self.certificate = make_certificate(self.key, name)
        self.trusted: dict[NodeId, bytes] = {}

    @property
    def node_id(self) -> NodeId:
        return self.key.node_id

    def own_certificate(self) -> tuple[bytes, bytes]:
        return certificate_pem(self.certificate), private_key_pem(self.key)

    def anchors(self) -> tuple[bytes, ...]:
        return tuple(self.trusted.values())

    def is_member(self, node: NodeId) -> bool:
        return node in self.trusted

    def generation(self) -> int:
        return len(self.trusted)
