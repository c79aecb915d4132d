"""Scenarios: what happens to a mesh, as data; files of it; profiles that draw it from a seed.

    model      Scenario, Fault, Phases, Workload, Options
    files      JSON text <-> Scenario, with the line of every mistake
    profiles   seed and profile -> Scenario
    play       Scenario -> Outcome, in any stage (`sim.stage`)

A scenario file is self-contained: whoever plays it needs neither the seed's generator nor the
profile it came from.
"""
