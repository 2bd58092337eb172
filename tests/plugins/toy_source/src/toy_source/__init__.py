"""A source of a stranger: versions that a JSON file lists."""
