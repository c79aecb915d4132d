"""The replicated state of one node.

    driver     replica with links, timers, disk and tasks around it
    upkeep     checkpoints of our own, and what is dropped
    shelf      which mesh's log is on the disk
    replica    log, feeds, sync and views together, without I/O: what the simulator tortures

Not here: the log itself (`mesh.log`), what events mean (`mesh.state`).
"""
