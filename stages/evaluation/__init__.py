"""Scores, their intervals, comparisons of systems, and tables."""
