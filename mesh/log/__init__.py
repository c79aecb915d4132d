"""The signed log: feeds of frames, what one replica holds of them, and how it is kept on disk.

    model       lanes, feeds, heads
    frame       headers, signatures, bodies; merkle: the tree over a frame's events
    writer      our own feeds: when events become frames
    log         all frames of one replica; forks: proofs that a writer signed twice
    checkpoint  what an owner's checkpoint covers, and what may go for it
    segments    the frames on disk; retention: which bodies go, and when
    audit       checking a whole log, or an exported file, without a node

Everything but `segments` is a core: no I/O, no clock, no randomness. `docs/log.cddl` is the
specification of the bytes. Not here: what events say (`mesh.state`) and how two replicas become
equal (`mesh.log.sync`).
"""
