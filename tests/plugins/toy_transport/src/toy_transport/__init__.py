"""A transport of a stranger: a line, a length and a body over TCP."""
