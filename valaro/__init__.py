"""Valaro: valence and arousal, frame by frame, from ordinary video."""

from stages import __version__

__all__ = ["__version__"]
