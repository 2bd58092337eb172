"""Other servers' configurations, each read into a table of ours. Pure."""
