"""Rows that are the same: in test data, and in what a run learned from."""
