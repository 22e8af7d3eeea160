"""Published data sets with noisy labels: one file each."""
