"""Traces in the formats of other programs, and model cards: pure functions of what was found."""
