"""N whole nodes, the production `mesh.node.node.Node`, in one virtual world.

    async def story(mesh: MeshWorld) -> str:
        await mesh.start_all()                                # first founds, the others are members
        assert await mesh.until(mesh.converged, within_s=30)
        mesh.world.after(1.0, mesh[2].machine.crash)          # faults: methods of a machine, now ...
        outcome = await mesh[0].run_project(folder, ["sim", "cc"])       # ... or as world events
        await mesh[2].start()                                 # a new life on the surviving disk
        return outcome.status

    done = simulate(story, MeshWorldConfig(seed=1, nodes=3))
    done.value, done.digest, done.findings, done.cpu_s

MeshWorld   world, network, nodes, `mesh[i]`, start_all(), sleep(s), until(condition, within_s),
            converged(), running(), changes (every MemberChanged: at_s, observer, subject, previous,
            view), index_of(node_id)
MeshNode    index, name, node_id, address, machine, node (the Node, None when it does not run),
            start(seeds=None), stop(), leave_mesh(), ask(op, **params) -> view (through the control
            port), members(), view_of(other), sees(other) -> State | None,
            run_project(folder, argv) -> RunOutcome
machine     (`sim.machine.machine.Machine`) crash(), power_cut(), freeze(), thaw(), slow(...),
            clock_step(s), clock_drift(rate), wipe(), snapshot(), restore(image), stalls(...)
world       (`sim.kernel.world.World`) now_s, at/after/rng/note/trace_digest, findings
network     (`sim.net.Network`) partitions, cuts, links

A run with the same config and story has the same digest, on every Python and hash seed. Deliberately
not here: faults as data, oracles and shrinking (`sim.scenario` and its neighbours).
"""
