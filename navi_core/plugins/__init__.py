"""Plugins: finding them, checking what they register, and asking them."""
