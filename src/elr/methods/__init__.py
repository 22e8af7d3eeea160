"""Ways to train on noisy labels, a file each; the formulas."""
