"""The world that tortures the replicated state: real logs, feeds, sync and views, without trio.

    node         one replica with its disk, clock, mail and lives
    links        who has a stream to whom; roster gossip
    workload     what nodes write
    kinds        faults of its own: equivocation, twins, liars, floods, removals
    stage        `sim.stage.base.Stage` over them, so that scenarios, shrinking and stories work
    invariants   what must hold

Messages go as datagrams of `sim.net`, so they are lost, doubled, reordered and held back as no
stream would; what arrives damaged is dropped, as TLS does. Not here: blobs (`sim.state.invariants`
has a place for them), whole nodes (`sim.stage.mesh`).
"""
