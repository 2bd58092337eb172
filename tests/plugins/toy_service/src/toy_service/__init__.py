"""A service of a stranger: the sum of what the model answers."""
