"""Training: the papers' losses and recipes."""
