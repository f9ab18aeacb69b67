"""The voice out of the mixture: Spleeter in PyTorch, the original in its own environment, a classical one."""
