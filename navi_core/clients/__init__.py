"""Clients that come with the core: they need nothing that a host does not need anyway."""
