"""A runtime of a stranger: scales its input."""
