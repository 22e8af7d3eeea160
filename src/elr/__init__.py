"""Early-Learning Regularization: learn from partly wrong labels and find the wrong ones."""
