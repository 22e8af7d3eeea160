"""Pixels: out of JPEGs, brought to another size, normalized."""
