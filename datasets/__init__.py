"""Data sets: what they are, where their files lie, how they are sampled."""
