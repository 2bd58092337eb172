"""A plugin that needs a core which does not exist yet."""
