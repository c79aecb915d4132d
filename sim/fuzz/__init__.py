"""Coverage-guided fuzzing of every decoder: `python -m sim.fuzz`.

    samples   a valid value of any declared class, by its codecs
    targets   what takes bytes from others, what it may raise, and what must hold when it does not
    mutate    from one input to another, as bytes and as CBOR
    engine    keeps what reaches new code, and reports what breaks a rule

Not here: the firmware's decoders (`sim.leaves.fuzz`), and peers that behave badly over time
(`sim.faults.hostile`).
"""
