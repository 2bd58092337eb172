"""What the host counts, and the page that shows it."""
