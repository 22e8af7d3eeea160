"""Models of label noise, to experiment with."""
