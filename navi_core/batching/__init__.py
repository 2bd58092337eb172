"""Joining requests: what to run together and when (pure), and the driver that does it."""
