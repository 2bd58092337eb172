"""A plugin that registers a name which another one has."""
