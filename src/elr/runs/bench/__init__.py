"""Grids of runs: methods beside one another on the same data and noise, one file of results a cell."""
