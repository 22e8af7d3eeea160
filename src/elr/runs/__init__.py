"""One run from data to folder, in one call: fit, published experiments, tuning, predictions."""
