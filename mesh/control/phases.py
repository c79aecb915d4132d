"""The phases that end a shard. Apart from `views`, whose types cost the command line 10 ms to load.

`skipped`: something it needs failed, or the run was stopped before it started.
"""

from __future__ import annotations

FINAL_PHASES = frozenset({"done", "failed", "skipped"})
