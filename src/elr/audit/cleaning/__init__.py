"""Decisions on suspect labels, and the data that they go to."""
