"""The linear model of the paper's first half."""
