"""A converter of a stranger: lines of comma-separated numbers."""
