"""Data sets: how their folders are laid out, and prompts made from their alphas."""
