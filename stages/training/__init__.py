"""The training loop of all torch models: losses, schedule, freezing, checkpoints, logging."""
