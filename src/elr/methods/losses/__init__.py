"""Losses of single examples that resist wrong labels, a file each."""
