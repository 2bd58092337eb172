"""Protocols: each turns calls into requests of the data plane, and its answers into responses."""
