"""What a peer's bytes can do wrong. Raised inside the wire layer, caught by the drivers.

None of these reaches a user as an exception: a driver counts it, drops the input (or the
connection) and holds the peer to account.
"""


class WireError(Exception):
    """The bytes are not a message of ours. `reason` is a short stable word for counters."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
