"""Training: compiled steps, lanes of folds and seeds, optimisers, losses and checkpoints."""
