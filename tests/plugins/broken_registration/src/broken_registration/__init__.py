"""A plugin whose registration raises."""
