"""Models and their versions: what is wanted, what is loaded, and the way between."""
