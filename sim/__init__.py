"""A simulated outside for the sans-IO cores: same seed, same trace."""
