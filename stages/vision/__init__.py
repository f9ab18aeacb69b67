"""Faces and what they show: detectors, tracks, crops, augmentation, static models."""
