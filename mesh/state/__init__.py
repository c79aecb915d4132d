"""What the mesh knows together, as folds over signed logs.

    events        what one event of a feed says, and its one encoding
    attestations  the fixed layout of the event there are millions of, and its packed table
    strands       the chains of headers of a feed, also when there is more than one
    windows       which part of each chain counts: cuts, forks, checkpoints
    actions, registers, claims, runs   the views
    taint         what was derived from results that no longer count
    checkpoint    a lane of one owner as bytes, in place of its events
    views         `State`: frames in, one difference out

A view is a pure function of the set of frames, the fork proofs, the checkpoints and the roster's
standing. No order of arrival, no clock, no local choice has a part in it.
"""
