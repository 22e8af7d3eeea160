"""Running averages of what was said of each example."""
