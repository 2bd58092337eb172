"""A command of a stranger."""
