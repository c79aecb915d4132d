"""The world that tortures the replicated state: real logs, feeds, sync and views, without trio.

    node         one replica with its disk, clock, mail and lives
    links        who has a stream to whom; roster gossip
    workload     what nodes write
    identities   who the nodes are; `rosters`: who is in, as each node knows it
    leaf         a leaf at the lines of several gateways
    deeds*       faults of its own: equivocation, twins, liars, floods, removals, clearing up
    stage        `sim.stage.base.Stage` over them, so that scenarios, shrinking and stories work
    invariants   what must hold

Messages go as datagrams of `sim.net`, so they are lost, doubled, reordered and held back as no
stream would; what arrives damaged is dropped, as TLS does. Not here: blobs (`sim.blobs`), whole
nodes (`sim.stage.mesh`).
"""
