"""Model sources: each says which versions of which models are wanted."""
