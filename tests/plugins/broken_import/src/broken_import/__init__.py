"""A plugin whose module raises."""
