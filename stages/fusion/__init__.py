"""Fuse the traces of several systems: Dirichlet weights, random forest, cross-attention; and smooth them."""
