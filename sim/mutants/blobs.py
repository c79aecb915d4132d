"""Planted bugs of the blob plane: what invariants 13 to 17 are there for.

They are hunted with the stories of `sim.blobs.world`; `profiles` are its chapters. Deliberately not
here: repairing by every holder with the same targets, which only repeats itself: who is asked twice
to keep a blob fetches it once.
"""

from __future__ import annotations

from sim.mutants.plant import Edit, Mutant

CARE = "mesh.cas.copies.care"
CHUNKS = "mesh.cas.chunks"


def _mutant(name: str, breaks: str, chapter: str, oracles: tuple[str, ...], *edits: Edit) -> Mutant:
    return Mutant(name, breaks, edits, (chapter,), oracles, nodes=6, world="blobs")


BLOBS: tuple[Mutant, ...] = (
    _mutant(
        "hit-without-files",
        "a result is a hit although its files could not be fetched",
        "hits",
        ("empty-hit", "build-failed"),
        Edit(
            "mesh.node.runs.known",
            "KnownActions._open",
            "if not await self.bring(result, ",
            "if False and not await self.bring(result, ",
        ),
    ),
    _mutant(
        "chunk-unchecked",
        "a chunk is kept without being compared with the manifest",
        "lies",
        ("blob-bytes", "blob-liar", "blob-lost"),
        Edit(
            CHUNKS,
            "ChunkWriter.put_chunk",
            "if sha256(data).digest() != self._manifest.digest(index):",
            "if not data:",
        ),
    ),
    _mutant(
        "journal-first",
        "the journal says that a chunk is there before it is, and is believed after a crash",
        "resume",
        ("blob-bytes", "blob-lost"),
        Edit(
            CHUNKS,
            "ChunkWriter._write",
            "file.write_at(index * self._manifest.chunk_bytes(0), data)",
            "late = index",
        ),
        Edit(
            CHUNKS,
            "ChunkWriter._write",
            'claim + crc32(claim).to_bytes(4, "big"))',
            'claim + crc32(claim).to_bytes(4, "big"))\n'
            "    file.write_at(late * self._manifest.chunk_bytes(0), data)",
        ),
        Edit(
            CHUNKS,
            "ChunkWriter._look_at",
            "sha256(data).digest() == self._manifest.digest(index)",
            "index in self._missing",
        ),
    ),
    _mutant(
        "starts-anew",
        "what an earlier process has fetched of a blob is thrown away",
        "resume",
        ("fetched-again",),
        Edit(CHUNKS, "ChunkWriter._open", "self._go_on()", "self._shelf.disk.remove(self._name)"),
    ),
    _mutant(
        "every-holder-repairs",
        "who has a blob makes copies of it, each at places of its own choice",
        "copies",
        ("too-many-copies",),
        Edit(
            CARE,
            "CopyCare._offer",
            "ordered = order(blob, places)",
            "from mesh.types import digest_of\n"
            "    me = self.config.me\n"
            "    ordered = sorted(places, key=lambda node: digest_of(node + me + blob))",
        ),
        Edit(
            CARE,
            "CopyCare._offer",
            "if next(node for node in ordered if node in have) != self.config.me"
            " or size_bytes is None:",
            "if size_bytes is None:",
        ),
    ),
    _mutant(
        "the-gone-count",
        "what a lost peer has said it holds still counts",
        "copies",
        ("too-few-copies",),
        Edit(CARE, "CopyCare.peer_down", "self._board.forget(peer)", "pass"),
    ),
    _mutant(
        "room-without-asking",
        "who needs room throws a copy away because others have one, and they do the same",
        "copies",
        ("last-copy",),
        Edit(
            CARE,
            "CopyCare.is_last_copy",
            "if sum(node in before for node in holders) < wanted:",
            "if before is None or wanted < 0:",
        ),
    ),
)
