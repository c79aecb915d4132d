"""The simulated world: the other implementation of the ports."""
