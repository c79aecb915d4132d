"""What a rule can touch on a Linux machine: files, commands, and the kernel's character devices.

Each adapter has `read() -> int | None`, `write(int) -> bool` and `close()`, and never raises after
it was made: what does not answer says so. Blocking, by design: a rule's run is bounded, and each of
these is. Deliberately not here: which resource of a program is which adapter.
"""
