"""Containers, frames, time stamps, waveforms: from files to arrays and back."""
