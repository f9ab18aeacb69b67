"""Traces in the file formats of other programs, and model cards."""
