"""Planted bugs of the sealed datagrams: replays, forgeries, nonces, epochs, notices."""

from __future__ import annotations

from sim.mutants.plant import Edit, Mutant

SEALER = "mesh.swim.sealed"

SEALED: tuple[Mutant, ...] = (
    Mutant(
        "replays-accepted",
        "counters that were seen are accepted again",
        (Edit(SEALER, "ReplayWindow.accept", "or self._seen & bit", "or False"),),
        ("hostile", "loss"),
        ("believed-forgery",),
    ),
    Mutant(
        "window-forgets",
        "a jump of the counter forgets what was seen",
        (
            Edit(
                SEALER,
                "ReplayWindow.accept",
                "(self._seen << ahead | 1) & _WINDOW_MASK",
                "1",
            ),
        ),
        ("hostile", "loss"),
        ("believed-forgery",),
    ),
    Mutant(
        "no-mac",
        "a datagram that does not open is taken for an empty one",
        (
            Edit(
                SEALER,
                "Sealer.open",
                'return self._refuse("bad-box")',
                'plain = (self._config.epoch & _RECEIVER_MASK).to_bytes(_RECEIVER_BYTES, "big")',
            ),
        ),
        ("hostile", "loss"),
        ("believed-forgery",),
    ),
    Mutant(
        "no-freshness",
        "datagrams for an earlier life of the receiver are fresh",
        (
            Edit(
                SEALER,
                "Sealer._judge",
                "if plain[:_RECEIVER_BYTES] != self._named:",
                "if False:",
            ),
        ),
        ("hostile", "crashes"),
        ("believed-forgery",),
    ),
    Mutant(
        "old-epochs-accepted",
        "datagrams of an earlier life of the sender are accepted",
        (
            Edit(SEALER, "Sealer._judge", "if epoch < peer.proven_epoch:", "if False:"),
            Edit(
                SEALER,
                "Sealer._judge",
                "if epoch > peer.proven_epoch:",
                "if epoch != peer.proven_epoch:",
            ),
        ),
        ("hostile",),
        ("believed-forgery",),
        nodes=4,
    ),
    Mutant(
        "nonce-reused",
        "the counter of datagrams stands still",
        (Edit(SEALER, "Sealer._box", "self._counter += 1", "self._counter += 0"),),
        ("calm",),
        ("joined", "death-in-calm"),
    ),
    Mutant(
        "sender-not-bound",
        "the window is shared by nobody: each datagram opens a new one",
        (
            Edit(
                SEALER,
                "Sealer._judge",
                "if epoch > peer.proven_epoch:",
                "if epoch >= peer.proven_epoch:",
            ),
        ),
        ("hostile", "loss"),
        ("believed-forgery",),
    ),
    Mutant(
        "no-notice",
        "who names a wrong epoch is never told the right one",
        (Edit(SEALER, "Sealer.notice", "if peer is None:", "if True:"),),
        ("calm",),
        ("joined",),
    ),
    Mutant(
        "epoch-hint-final",
        "a peer's new epoch is never believed once one is known",
        (
            Edit(
                SEALER,
                "Sealer._judge",
                "peer.named_epoch = epoch",
                "peer.named_epoch = peer.named_epoch or epoch",
            ),
            Edit(SEALER, "Sealer.hint", "epoch > peer.named_epoch", "not peer.named_epoch"),
        ),
        ("crashes",),
        ("reunited", "tables-differ", "false-death"),
    ),
)
