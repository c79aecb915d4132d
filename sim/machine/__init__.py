"""One simulated computer: its clocks, its processor, the ports of its process, and its mishaps.

See `machine.Machine` for what can happen to it, and `rack.Rack` for where it stands.
"""
