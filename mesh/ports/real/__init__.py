"""The ports onto the real world."""
