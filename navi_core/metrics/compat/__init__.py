"""Other servers' metric families, under their exact names, for dashboards that exist already."""
