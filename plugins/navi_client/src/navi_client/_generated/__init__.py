"""Copies of the core's wire codecs, made by tools/build_wire_copies.py. Not edited by hand."""
