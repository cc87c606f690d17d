"""Data sets: what they are, where their files are, and which samples are drawn from them."""
