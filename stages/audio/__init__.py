"""Voice and mouth: the mouth's motion, speaking segments, audio models."""
