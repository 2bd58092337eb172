"""A plugin that registers a class which implements nothing."""
