"""Rule programs: the language, the verifier and the machine. The same bytes run on leaves."""
