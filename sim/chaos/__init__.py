"""The second world: the same scenario file, played by real node processes.

    play       scenario -> Outcome, as `sim.scenario.play` gives it
    kinds      what this world can do, and why it cannot do the rest; asked before anything starts
    clock      the world's heap of events, run by the real clock
    stage      `sim.stage.base.Stage` over processes: the verbs of faults, the questions of oracles
    node       one machine: a network namespace, a disk, a process in it
    disks      tmpfs and ext4 images that fill up, turn immutable, lose power
    faketime   wall clocks of processes
    watch      asks each node's control socket what it believes, and reads its log
    builds     the runs of a workload, by real shells
    network    the verbs for faults of the network, over the rules of `sim.net.roads`
    frames     Ethernet, ARP, IPv4, UDP, TCP, ICMP: the little of them that is needed
    switch     what becomes of one frame (no I/O), by the links of the simulated network
    flows      TCP connections as a switch sees them: to reset, refuse and stall them
    cables     carrier `switch`: TAP devices and the thread that carries frames between them
    bridge     carrier `kernel`: a bridge in a hub namespace, nftables and tbf
    namespaces, commands    `ip netns` and other programs, and what is left of the dead

Director, oracles, kinds of faults and random draws are those of the simulator: a scenario means the
same thing in both worlds. What cannot be the same is time: here it is the machine's, and a run
cannot be repeated bit by bit. That is what this world is for: it shows that the simulated one is
like the real one. Deliberately not here: other machines; everything happens on this one.
"""
