"""One training loop for every torch model: losses, schedule, freezing, checkpoints, logging."""
