"""Data of a grid: where they are from, how they are split by a seed, and the noise in their labels."""
