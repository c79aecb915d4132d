"""The replicated state of one node.

    replica    log, feeds, sync and views together, without I/O: what the simulator tortures

Not here: the log itself (`mesh.log`), what events mean (`mesh.state`).
"""
