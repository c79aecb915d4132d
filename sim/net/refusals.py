"""How often a host answers that a port is closed: Linux's limit, a token bucket per destination.

`icmp_ratelimit` is one a second with bursts of six (net/ipv4/icmp.c, inet_peer_xrlim_allow); an
answer quotes what fits into 576 bytes beside two IP headers, ICMP's and UDP's (RFC 1812).
"""

from __future__ import annotations

BURST = 6.0
PER_S = 1.0
QUOTE_BYTES = 520


class RefusalRate:
    """Token buckets, one for each (refusing host, host that is told)."""

    def __init__(self) -> None:
        self._buckets: dict[tuple[str, str], tuple[float, float]] = {}

    def allows(self, refuser: str, told: str, now_s: float) -> bool:
        """Take a token if there is one; a host always tells itself."""
        if refuser == told:
            return True
        tokens, at_s = self._buckets.get((refuser, told), (BURST, now_s))
        tokens = min(BURST, tokens + (now_s - at_s) * PER_S)
        allowed = tokens >= 1.0
        self._buckets[refuser, told] = (tokens - allowed, now_s)
        return allowed
