"""The parts of benchmarks/own_data.py: what is learned, how, what is measured, and the table of it."""
