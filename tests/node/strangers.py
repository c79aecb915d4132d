"""Who is no member of the mesh and knocks all the same."""

from __future__ import annotations

import attrs
from nodes import World

from mesh.identity.certificates import certificate_pem, make_certificate, private_key_pem
from mesh.identity.keys import NodeKey
from mesh.types import NodeId

STRANGER = NodeKey(b"s" * 32)


@attrs.frozen
class Pretender:
    """Believes in the mesh, which does not believe in it."""

    world: World

    def own_certificate(self) -> tuple[bytes, bytes]:
        certificate = make_certificate(STRANGER, "stranger")
        return certificate_pem(certificate), private_key_pem(STRANGER)

    def anchors(self) -> tuple[bytes, ...]:
        return self.world.alice.runtime.identity.anchors()

    def is_member(self, node: NodeId) -> bool:
        return True

    def generation(self) -> int:
        return 1
