"""The OpenAPI document of the host, served."""
