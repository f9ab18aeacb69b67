"""The mouth, the voice and what they say: speaking segments, separation, audio models."""
