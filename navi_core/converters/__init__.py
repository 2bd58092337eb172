"""Converters that come with the core: they need protobuf and NumPy, and nothing else."""
