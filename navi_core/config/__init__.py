"""Configuration: typed records, and how texts become them."""
