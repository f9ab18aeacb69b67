"""Separate the voice from the mixture: Spleeter in PyTorch, the original program, a classical method."""
