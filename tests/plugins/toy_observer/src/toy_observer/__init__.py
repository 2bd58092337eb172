"""An observer of a stranger: keeps what it is told."""
