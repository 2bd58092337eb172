"""A plugin whose hook function takes an argument that there is not."""
