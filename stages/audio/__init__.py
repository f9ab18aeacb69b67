"""The mouth, the voice and what they say: voiced segments, separation, audio models."""
