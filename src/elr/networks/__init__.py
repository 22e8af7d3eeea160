"""Architectures, and networks in plain values."""
