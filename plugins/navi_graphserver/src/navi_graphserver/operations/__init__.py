"""The operations of SameDiff graphs, computed with NumPy."""
