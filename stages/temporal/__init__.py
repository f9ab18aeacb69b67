"""Sequences of embeddings: windows, normalisation, the dynamic model, functionals, KELM."""
