"""A host inside a foreign server: the application that builds it, and the process that launches and ends it."""
