"""Planted bugs of links and streams: frames, ends, second links, dialling.

Deliberately not here: the sealed datagrams (`sealed`), and bugs that a few runs did not show
(tried: the older of two links left running, a failed dial never repeated, a Hello waited for
without end; the other side, which dials too, and keepalives make up for them). Strangers at the
doors are in no profile: `tests/node` has them.
"""

from __future__ import annotations

from sim.mutants.plant import Edit, Mutant

LINK = "mesh.node.link"
LINKS_MODULE = "mesh.node.links"


def _mutant(name: str, breaks: str, profiles: tuple[str, ...], oracle: str, *edits: Edit) -> Mutant:
    return Mutant(name, breaks, edits, profiles, (oracle,), nodes=4, world="mesh")


LINKS: tuple[Mutant, ...] = (
    _mutant(
        "frame-in-two-reads",
        "of a frame that comes in two reads the first part is forgotten",
        ("streams",),
        "garbled",
        Edit("mesh.wire.frame", "FrameReader.feed", "del buffer[:start]", "buffer.clear()"),
    ),
    _mutant(
        "behind-the-hello",
        "messages that come in one packet with the Hello are lost",
        ("streams",),
        "garbled",
        Edit(
            LINK,
            "read_hello",
            "tail.push_back(bytes(rest) + reader.take_pending())",
            "tail.push_back(reader.take_pending())",
        ),
    ),
    _mutant(
        "lost-while-sending",
        "what is queued while a write waits is lost",
        ("calm", "builds"),
        "garbled",
        Edit(
            LINK,
            "Link._write",
            "data, self._outgoing = bytes(self._outgoing), bytearray()\n"
            "            await self._parts.stream.send_all(data)",
            "await self._parts.stream.send_all(bytes(self._outgoing))\n"
            "            self._outgoing = bytearray()",
        ),
    ),
    _mutant(
        "sent-again",
        "what was written is written once more when something was queued meanwhile",
        ("calm", "builds"),
        "garbled",
        Edit(
            LINK,
            "Link._write",
            "data, self._outgoing = bytes(self._outgoing), bytearray()\n"
            "            await self._parts.stream.send_all(data)",
            "data = bytes(self._outgoing)\n"
            "            await self._parts.stream.send_all(data)\n"
            "            if len(data) == len(self._outgoing):\n"
            "                self._outgoing = bytearray()",
        ),
    ),
    _mutant(
        "half-closed-kept",
        "a link that the other side has ended is kept as alive",
        ("streams",),
        "unlinked",
        Edit(
            LINK,
            "Link._read",
            "if not data:\n            return",
            "if not data:\n            await trio.sleep_forever()",
        ),
    ),
    _mutant(
        "never-dialled-again",
        "whom we had a link to that ended is not dialled again",
        ("streams", "partitions"),
        "unlinked",
        Edit(
            LINKS_MODULE,
            "Links._dial",
            "target.next_dial_s = self._env.clock.monotonic() + self._config.redial_s",
            "target.next_dial_s = math.inf",
        ),
    ),
    _mutant(
        "each-keeps-its-own",
        "of two links of a pair each side keeps the one that it dialled",
        ("partitions",),
        "unlinked",
        Edit(
            LINKS_MODULE,
            "Links._dialled_by_lower",
            "link.dialled == (self._me < link.peer)",
            "link.dialled",
        ),
    ),
    _mutant(
        "stream-left-open",
        "a link that has ended leaves its stream open",
        ("builds", "streams"),
        "streams-piled",
        Edit(LINK, "Link.discard", "await self._parts.stream.aclose()", "pass"),
    ),
)
