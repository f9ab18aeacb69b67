"""Valaro: valence and arousal, frame by frame, from ordinary video."""

__version__ = "0.1.0"
