"""What is promised of blobs, held against whole nodes: invariants 13 to 17 of the design's list.

    world      `play_blobs(seed)`: one story per seed, with a lying holder, crashes and cut power
    checks     what must hold at each point of it

The bugs that must violate each are in `sim.mutants.blobs`. Deliberately not here: scenarios as
data; a story about blobs needs holders of known contents at known moments.
"""
