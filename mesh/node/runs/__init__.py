"""One run from the origin's side: its record, its way through cache, peers and project tree."""
