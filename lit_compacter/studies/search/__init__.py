"""Hyperparameters chosen on validation rows: a grid, or optuna."""
