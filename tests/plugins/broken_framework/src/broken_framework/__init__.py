"""A plugin whose framework is not installed."""
