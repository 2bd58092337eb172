"""Listeners: each moves bytes between clients and services."""
