"""Raises at import."""

raise RuntimeError("the moon is in the wrong phase")
