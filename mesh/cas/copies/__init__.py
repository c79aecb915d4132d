"""That a blob somebody needs survives the machine it is on, without I/O.

    placement   where copies belong, by a hash that everybody computes alike
    needs       which blobs are needed, and in how many copies
    board       which peers have which of them
    care        who asks whom to keep what, and what may be thrown away

All of it is soft: told over links, by those who have the blobs, and forgotten with the link. Not
here: fetching (`mesh.cas.fetch`), the store, streams and timers (`mesh.node.state.holders`).
"""
