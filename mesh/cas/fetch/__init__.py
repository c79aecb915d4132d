"""Fetching one large blob from several holders at once, without I/O.

    window   how many chunks one holder is asked for at a time
    swarm    which chunk is asked of whom
    bucket   so many bytes a second

Not here: streams and time (`mesh.node.gather`), the blob on the disk (`mesh.cas.chunks`), and how
it is found out who has what (`mesh.cas.copies`).
"""
