"""The log read offline: of a home, whether a node runs there or not, or of an exported file.

    book      frames, proofs and damage, and who is who
    answers   from a book to what `vitte audit ...` shows
    __main__  `python -P -m mesh.node.audit NAME REQUEST`: one request, one line of JSON

Nothing here writes to a home, asks a node, or believes anything: every signature is checked anew.
"""
